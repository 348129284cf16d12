// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"strconv"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// MSS is the largest maximum segment size that the two ends of a TCP connection may
// announce through a forward to another machine, in bytes; or one of these.
type MSS uint16

const (
	// MSSAuto lowers it to what fits the MTUs of the routes, and to what a rule of
	// netfilter on this host sets.
	MSSAuto = MSS(maps.MSSToMTU)
	// MSSOff leaves it as the ends announce it.
	MSSOff = MSS(maps.MSSOff)
)

// The bounds of a number of bytes. What every host takes (RFC 9293 3.7.1), and what
// the longest IPv4 packet has room for.
const (
	leastMSS = 536
	mostMSS  = 65495
)

// ParseMSS parses auto, off or a number of bytes; no word is auto.
func ParseMSS(word string) (MSS, error) {
	switch word {
	case "", MSSAuto.String():
		return MSSAuto, nil
	case MSSOff.String():
		return MSSOff, nil
	}
	n, err := strconv.ParseUint(word, 10, 16)
	if err != nil || n < leastMSS || n > mostMSS {
		return 0, Errorf(ErrSyntax, "mss %q is unknown; choose auto, off or a number of bytes from %d to %d", word, leastMSS, mostMSS)
	}
	return MSS(n), nil
}

// String is the word that ParseMSS reads.
func (m MSS) String() string {
	switch m {
	case MSSAuto:
		return "auto"
	case MSSOff:
		return "off"
	}
	return strconv.Itoa(int(m))
}

// clampsAsNetfilter says whether the SYNs of connections to a backend are clamped as the
// rules of netfilter clamp those that this host forwards.
func (t target) clampsAsNetfilter(host *loader.Host) bool {
	return t.forward.Frontend.Protocol == TCP && t.forward.MSS == MSSAuto && elsewhere(host, t.backend.Address)
}

// mssNotes says of new backends elsewhere that the MSS is clamped as a rule of netfilter
// does, which their packets do not meet.
func mssNotes(host *loader.Host, targets []target) []string {
	var notes messages
	for _, t := range targets {
		if !t.clampsAsNetfilter(host) {
			continue
		}
		if mss := host.MSSOfRules(t.backend.Address.Is6()); mss != 0 {
			notes.add("clamps the MSS to %d, as a rule of netfilter on this host does; --mss off leaves it", mss)
		}
	}
	return notes.most("backends")
}

// mssWarnings says where rules of netfilter that clamp the MSS may be, and cannot be read.
func mssWarnings(host *loader.Host, targets []target) []string {
	var warnings messages
	for _, t := range targets {
		if !t.clampsAsNetfilter(host) {
			continue
		}
		if err := host.UnreadRules(); err != nil {
			warnings.add("the rules of netfilter cannot be read (%v): if one sets the MSS of TCP, give its number to --mss", err)
		}
	}
	return warnings.most("backends")
}
