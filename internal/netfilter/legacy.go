// SPDX-License-Identifier: Apache-2.0

package netfilter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// legacy is how the kernel shows the tables of legacy iptables of one family.
type legacy struct {
	// names is the file that names the tables which are there.
	names         string
	domain, level int
	// info and entries are the socket options, the same in both families.
	info, entries int
	// address is the size of struct ipt_ip or ip6t_ip6, with which an entry begins.
	address int
	ipv6    bool
}

var (
	legacyIPv4 = legacy{"/proc/thread-self/net/ip_tables_names", unix.AF_INET, unix.SOL_IP, 64, 65, 84, false}
	legacyIPv6 = legacy{"/proc/thread-self/net/ip6_tables_names", unix.AF_INET6, unix.SOL_IPV6, 64, 65, 136, true}
)

// readLegacy reads the tables of legacy iptables. They are there once somebody has asked
// for them.
func (r *Rules) readLegacy() error {
	var problems []error
	for _, l := range []legacy{legacyIPv4, legacyIPv6} {
		names, err := os.ReadFile(l.names)
		if err != nil {
			continue // the kernel has none, or the module is not loaded
		}
		for _, name := range strings.Fields(string(names)) {
			rules, hooks, err := l.read(name)
			if err != nil {
				problems = append(problems, fmt.Errorf("table %s of legacy iptables: %w", name, err))
				continue
			}
			for _, mss := range l.clamps(rules, hooks) {
				r.clamp(mss, !l.ipv6, l.ipv6)
			}
		}
	}
	return errors.Join(problems...)
}

const (
	tableNameSize = 32 // XT_TABLE_MAXNAMELEN
	hookCount     = 5  // NF_INET_NUMHOOKS
)

// tableInfo is struct ipt_getinfo, and struct ip6t_getinfo as well.
type tableInfo struct {
	name       [tableNameSize]byte
	validHooks uint32
	hookEntry  [hookCount]uint32
	underflow  [hookCount]uint32
	numEntries uint32
	size       uint32
}

// read returns the rules of a table as the kernel lays them out, and where the chains of
// its hooks begin and end.
func (l legacy) read(name string) (rules []byte, info tableInfo, err error) {
	fd, err := unix.Socket(l.domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, info, err
	}
	defer unix.Close(fd)
	copy(info.name[:tableNameSize-1], name)
	if err := l.get(fd, l.info, unsafe.Pointer(&info), unsafe.Sizeof(info)); err != nil {
		return nil, info, err
	}
	// struct ipt_get_entries: the name, the size, and the entries at a multiple of 8.
	const header = tableNameSize + 8
	buffer := make([]byte, header+int(info.size))
	copy(buffer, info.name[:])
	binary.NativeEndian.PutUint32(buffer[tableNameSize:], info.size)
	if err := l.get(fd, l.entries, unsafe.Pointer(&buffer[0]), uintptr(len(buffer))); err != nil {
		return nil, info, err
	}
	return buffer[header:], info, nil
}

// get is getsockopt(2) for a structure that is read and written.
func (l legacy) get(fd, option int, value unsafe.Pointer, size uintptr) error {
	length := uint32(size)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(l.level), uintptr(option),
		uintptr(value), uintptr(unsafe.Pointer(&length)), 0)
	runtime.KeepAlive(value)
	if errno != 0 {
		return errno
	}
	return nil
}

// clamps are the numbers that the rules of a table set as the MSS. Rules of the chains that
// only packets of this host itself meet do not count.
func (l legacy) clamps(rules []byte, info tableInfo) (clamps []uint16) {
	// struct ipt_entry: addresses, nfcache, target_offset, next_offset, comefrom,
	// counters at a multiple of 8; the matches and the target follow.
	targetOffset := l.address + 4
	nextOffset := targetOffset + 2
	for offset := 0; offset+nextOffset+2 <= len(rules); {
		entry := rules[offset:]
		target, next := int(binary.NativeEndian.Uint16(entry[targetOffset:])), int(binary.NativeEndian.Uint16(entry[nextOffset:]))
		if next < nextOffset+2 || next > len(entry) || target > next {
			return clamps
		}
		if mss := mssOfLegacyTarget(entry[target:next]); mss != 0 && !info.isOwn(uint32(offset)) {
			clamps = append(clamps, mss)
		}
		offset += next
	}
	return clamps
}

// mssOfLegacyTarget is what a struct xt_entry_target sets as the MSS, or 0.
func mssOfLegacyTarget(target []byte) uint16 {
	const nameOffset, nameSize, dataOffset = 2, 29, 32
	if len(target) < dataOffset {
		return 0
	}
	return mssOfTarget(unix.ByteSliceToString(target[nameOffset:nameOffset+nameSize]), target[dataOffset:])
}

// isOwn says whether the rule at an offset is of the chain INPUT or OUTPUT.
func (i tableInfo) isOwn(offset uint32) bool {
	for _, hook := range []int{unix.NF_INET_LOCAL_IN, unix.NF_INET_LOCAL_OUT} {
		if i.validHooks&(1<<hook) != 0 && i.hookEntry[hook] <= offset && offset <= i.underflow[hook] {
			return true
		}
	}
	return false
}
