// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// mayTranslate says whether netfilter or IPVS may hand packets for a port of the
// current namespace to something else than a socket with that port. What cannot be
// read may be there.
func mayTranslate() bool {
	return hasLegacyTables() || hasIPVS() || hasTranslatingChains()
}

// hasLegacyTables says whether a table of iptables-legacy that can redirect packets is in
// use: nat has REDIRECT and DNAT, mangle has TPROXY.
func hasLegacyTables() bool {
	for _, file := range []string{"ip_tables_names", "ip6_tables_names"} {
		names, _ := os.ReadFile("/proc/thread-self/net/" + file)
		for name := range strings.FieldsSeq(string(names)) {
			if name == "nat" || name == "mangle" {
				return true
			}
		}
	}
	return false
}

// hasIPVS says whether IPVS has a service.
func hasIPVS() bool {
	const heading = 3
	table, _ := os.ReadFile("/proc/thread-self/net/ip_vs")
	return bytes.Count(table, []byte("\n")) > heading
}

// hasTranslatingChains says whether nf_tables, which serves iptables-nft too, has a chain
// of type nat, or one that sees packets before they are routed, where tproxy is.
func hasTranslatingChains() bool {
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP)
	request.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: unix.NFNETLINK_V0})
	chains, err := request.Execute(unix.NETLINK_NETFILTER, 0)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return false // this kernel has no nf_tables
	}
	if err != nil {
		return true
	}
	for _, chain := range chains {
		if len(chain) < nl.SizeofNfgenmsg || translates(chain[nl.SizeofNfgenmsg:]) {
			return true
		}
	}
	return false
}

// translates says whether a chain with these attributes may hand packets to something else.
func translates(chain []byte) bool {
	attributes, err := nl.ParseRouteAttr(chain)
	if err != nil {
		return true
	}
	for _, a := range attributes {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case unix.NFTA_CHAIN_TYPE:
			if kind, _, _ := bytes.Cut(a.Value, []byte{0}); string(kind) == "nat" {
				return true
			}
		case unix.NFTA_CHAIN_HOOK:
			if hook, found := hookNumber(a.Value); found && hook == unix.NF_INET_PRE_ROUTING {
				return true
			}
		}
	}
	return false
}

func hookNumber(attribute []byte) (number uint32, found bool) {
	attributes, err := nl.ParseRouteAttr(attribute)
	if err != nil {
		return 0, false
	}
	for _, a := range attributes {
		if a.Attr.Type == unix.NFTA_HOOK_HOOKNUM && len(a.Value) == 4 {
			return binary.BigEndian.Uint32(a.Value), true
		}
	}
	return 0, false
}

// translators remembers what mayTranslate has found in a namespace.
type translators struct {
	once sync.Once
	may  bool
}

// MayBeTranslated says whether netfilter or IPVS may serve ports of the namespace that no
// socket has. The kernel does not tell of which.
func (w *Listeners) MayBeTranslated() bool {
	w.translators.once.Do(func() {
		w.translators.may = true
		_ = w.namespace.Do(func() error {
			w.translators.may = mayTranslate()
			return nil
		})
	})
	return w.translators.may
}
