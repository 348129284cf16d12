// SPDX-License-Identifier: Apache-2.0

package netfilter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attempts is how often a dump is tried that a change of the rules interrupts.
const attempts = 5

// readNftables reads the rules of all tables of nftables, unless it knows them already.
func (r *Reader) readNftables() error {
	if !isLoaded("nf_tables") {
		r.nftables = Rules{}
		return nil
	}
	var err error
	for range attempts {
		if err = r.dumpNftables(); !errors.Is(err, unix.EINTR) && !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL) {
		return nil // a kernel without nftables
	}
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}

// dumpNftables is readNftables where a change of the rules may interrupt it.
func (r *Reader) dumpNftables() error {
	generation, err := readGeneration()
	if err != nil || r.known && generation == r.generation {
		return err
	}
	var found Rules
	if err := found.dump(); err != nil {
		return err
	}
	r.nftables, r.generation, r.known = found, generation, true
	return nil
}

// readGeneration is a number that changes with each change of the rules of nftables.
func readGeneration() (generation uint32, err error) {
	err = ask(unix.NFT_MSG_GETGEN, 0, func(_ uint8, message []byte) {
		generation, _ = parse(message).number32(unix.NFTA_GEN_ID)
	})
	return generation, err
}

// isLoaded says whether a module is loaded, or part of the kernel. To ask a module that
// is not would load it.
func isLoaded(module string) bool {
	loaded, err := os.ReadFile("/proc/modules")
	if errors.Is(err, fs.ErrNotExist) {
		return true // no modules at all
	}
	if err != nil || bytes.HasPrefix(loaded, []byte(module+" ")) || bytes.Contains(loaded, []byte("\n"+module+" ")) {
		return true
	}
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	builtin, _ := os.ReadFile("/lib/modules/" + unix.ByteSliceToString(name.Release[:]) + "/modules.builtin")
	return strings.Contains(string(builtin), "/"+module+".ko")
}

// chain names a chain of a table.
type chain struct {
	family uint8
	table  string
	name   string
}

// dump notes what the rules of all chains do that forwarded packets may meet.
func (r *Rules) dump() error {
	own := make(map[chain]bool)
	err := ask(unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP, func(family uint8, message []byte) {
		a := parse(message)
		hook := attributes(parse(a[unix.NFTA_CHAIN_HOOK]))
		if number, is := hook.number32(unix.NFTA_HOOK_HOOKNUM); is && isIP(family) &&
			(number == unix.NF_INET_LOCAL_IN || number == unix.NF_INET_LOCAL_OUT) {
			own[chain{family, a.text(unix.NFTA_CHAIN_TABLE), a.text(unix.NFTA_CHAIN_NAME)}] = true
		}
	})
	if err != nil {
		return err
	}
	return ask(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, func(family uint8, message []byte) {
		// There may be tens of thousands of others.
		if !bytes.Contains(message, []byte(targetMSS)) && !bytes.Contains(message, []byte(expressionOption)) {
			return
		}
		a := parse(message)
		if own[chain{family, a.text(unix.NFTA_RULE_TABLE), a.text(unix.NFTA_RULE_CHAIN)}] {
			return
		}
		if mss := mssOfRule(a[unix.NFTA_RULE_EXPRESSIONS]); mss != 0 {
			r.clamp(mss, family != unix.NFPROTO_IPV6, family != unix.NFPROTO_IPV4)
		}
	})
}

// isIP says whether hooks of a family are numbered as those of IP are.
func isIP(family uint8) bool {
	return family == unix.NFPROTO_INET || family == unix.NFPROTO_IPV4 || family == unix.NFPROTO_IPV6
}

// What the kernel calls the target of iptables that sets the MSS, and the expression that
// reads and writes TCP options.
const (
	targetMSS        = "TCPMSS"
	expressionOption = "exthdr"
)

// ask sends nftables a request without arguments, and calls f with the family and the
// attributes of each thing in the answer.
func ask(message, flags int, f func(family uint8, message []byte)) error {
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|message, flags)
	request.AddData(&nl.Nfgenmsg{NfgenFamily: unix.NFPROTO_UNSPEC, Version: nl.NFNETLINK_V0})
	messages, err := request.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if len(m) >= nl.SizeofNfgenmsg {
			f(m[0], m[nl.SizeofNfgenmsg:])
		}
	}
	return nil
}

// mssOfRule is the number that the expressions of a rule set as the MSS, or 0: by the
// target TCPMSS of iptables-nft, or by a write of the TCP option.
func mssOfRule(expressions []byte) (smallest uint16) {
	const (
		writesTCPOption = 1 // NFT_EXTHDR_OP_TCPOPT
		optionMSS       = 2 // TCPOPT_MAXSEG
		valueOffset     = 2
	)
	// What a rule has put into registers.
	registers := make(map[uint32][]byte)
	for _, expression := range list(expressions) {
		a := parse(expression)
		data := attributes(parse(a[unix.NFTA_EXPR_DATA]))
		mss := uint16(0)
		switch a.text(unix.NFTA_EXPR_NAME) {
		case "target":
			mss = mssOfTarget(data.text(unix.NFTA_TARGET_NAME), data[unix.NFTA_TARGET_INFO])
		case "immediate":
			if register, found := data.number32(unix.NFTA_IMMEDIATE_DREG); found {
				registers[register] = attributes(parse(data[unix.NFTA_IMMEDIATE_DATA]))[unix.NFTA_DATA_VALUE]
			}
		case expressionOption:
			register, writes := data.number32(unix.NFTA_EXTHDR_SREG)
			op, _ := data.number32(unix.NFTA_EXTHDR_OP)
			offset, _ := data.number32(unix.NFTA_EXTHDR_OFFSET)
			option := data[unix.NFTA_EXTHDR_TYPE]
			if writes && op == writesTCPOption && offset == valueOffset && len(option) == 1 && option[0] == optionMSS && len(registers[register]) >= 2 {
				mss = binary.BigEndian.Uint16(registers[register])
			}
		default:
			// It may load something else, such as the MTU of the route.
			clear(registers)
		}
		if mss != 0 && (smallest == 0 || mss < smallest) {
			smallest = mss
		}
	}
	return smallest
}

// mssOfTarget is the number that a target of iptables sets as the MSS, or 0.
func mssOfTarget(name string, info []byte) uint16 {
	if name != targetMSS || len(info) < 2 {
		return 0
	}
	if mss := binary.NativeEndian.Uint16(info); mss != clampsToPMTU {
		return mss
	}
	return 0
}

// attributes are those of a netlink message, by type.
type attributes map[uint16][]byte

// parse reads attributes. What is cut off is left out.
func parse(b []byte) attributes {
	a := make(attributes)
	each(b, func(kind uint16, value []byte) { a[kind] = value })
	return a
}

// list reads the values of attributes that are a list.
func list(b []byte) (values [][]byte) {
	each(b, func(_ uint16, value []byte) { values = append(values, value) })
	return values
}

func each(b []byte, f func(kind uint16, value []byte)) {
	const header = unix.SizeofNlAttr
	for len(b) >= header {
		length := int(binary.NativeEndian.Uint16(b))
		if length < header || length > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&nl.NLA_TYPE_MASK, b[header:length])
		b = b[min(len(b), (length+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1)):]
	}
}

func (a attributes) text(kind uint16) string {
	return strings.TrimRight(string(a[kind]), "\x00")
}

// number32 is a number in network order, as all of nftables are.
func (a attributes) number32(kind uint16) (n uint32, found bool) {
	if len(a[kind]) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(a[kind]), true
}
