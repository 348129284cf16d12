// SPDX-License-Identifier: Apache-2.0

// Package netfilter reads what rules of netfilter on this host do to packets that it
// forwards. Packets that xfwd sends on do not meet these rules.
package netfilter

import (
	"errors"
	"sync"
)

// Rules are what the rules of a network namespace do to forwarded packets.
type Rules struct {
	// MSS4 and MSS6 are the smallest MSS that a rule sets in TCP packets, of IPv4 and of
	// IPv6; 0 is none. Rules that follow the path's MTU set no number.
	MSS4, MSS6 uint16
}

// clamp notes that a rule sets an MSS in packets of these families.
func (r *Rules) clamp(mss uint16, ipv4, ipv6 bool) {
	for at, is := range map[*uint16]bool{&r.MSS4: ipv4, &r.MSS6: ipv6} {
		if is && mss != 0 && (*at == 0 || mss < *at) {
			*at = mss
		}
	}
}

// clampsToPMTU is the number by which TCPMSS of iptables follows the path's MTU.
const clampsToPMTU = 0xffff

// Reader reads the rules of one network namespace. The zero Reader is ready for use, by
// several goroutines at once.
type Reader struct {
	lock sync.Mutex
	// nftables are what the rules of nftables were in a generation of theirs. There may be
	// tens of thousands, and most of the time they are the same as before.
	nftables   Rules
	generation uint32
	known      bool
}

// Read reads the rules of the network namespace that the calling thread is in, those of
// nftables, which iptables-nft writes as well, and those of legacy iptables. What the
// kernel has no module for, or has not loaded, has no rules; nothing is loaded. What can
// be read is returned beside the error about the rest.
func (r *Reader) Read() (Rules, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	err := r.readNftables()
	rules := r.nftables
	return rules, errors.Join(err, rules.readLegacy())
}
