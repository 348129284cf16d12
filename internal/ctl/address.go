// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"net/netip"
	"strings"
)

// localhost is the one name that a backend may have.
const localhost = "localhost"

// splitAddress splits [ADDRESS:]REST where REST has no colon. The address is
// invalid where there is none.
func splitAddress(s string) (address netip.Addr, rest string, err error) {
	if strings.HasPrefix(s, "[") {
		inside, rest, closed := strings.Cut(s[1:], "]")
		if !closed {
			return netip.Addr{}, "", Errorf(ErrSyntax, "the bracket is not closed; write [ADDRESS]:PORT")
		}
		rest, hasPort := strings.CutPrefix(rest, ":")
		if !hasPort {
			return netip.Addr{}, "", Errorf(ErrSyntax, "a colon and a port must follow the bracket; write [ADDRESS]:PORT")
		}
		address, err := parseAddress(inside)
		if err == nil && address.Is4() {
			err = Errorf(ErrSyntax, "brackets are for IPv6; write %s without them", address)
		}
		return address, rest, err
	}
	switch head, rest, found := strings.Cut(s, ":"); {
	case !found:
		if address, err := netip.ParseAddr(s); err == nil {
			return netip.Addr{}, "", Errorf(ErrSyntax, "the port is missing; write %s:80", address)
		}
		return netip.Addr{}, s, nil
	case strings.Contains(rest, ":"):
		return netip.Addr{}, "", Errorf(ErrSyntax, "an IPv6 address needs brackets; write [2001:db8::7]:80")
	case head == "" || head == "*":
		return netip.Addr{}, "", Errorf(ErrSyntax, "no address stands before the colon; leave the colon out to mean every address of this host")
	default:
		address, err := parseAddress(head)
		return address, rest, err
	}
}

// parseAddress accepts the unicast addresses that a forward can have, without
// zone and in no disguise.
func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case s == localhost:
		return netip.Addr{}, Errorf(ErrSyntax, "names are not resolved; write 127.0.0.1 or [::1]")
	case err != nil:
		return netip.Addr{}, Errorf(ErrSyntax, "%q is not an IP address; write one like 192.0.2.7 or [2001:db8::7]", s)
	case a.Zone() != "":
		return netip.Addr{}, Errorf(ErrSyntax, "an address takes no zone; write %s and give the device with --device", a.WithZone(""))
	case a.Is4In6():
		return netip.Addr{}, Errorf(ErrSyntax, "%s is an IPv4 address in IPv6 clothes; write %s", a, a.Unmap())
	case a.IsUnspecified():
		return netip.Addr{}, Errorf(ErrSyntax, "%s is no address to send to; leave the address out", a)
	case a.IsMulticast():
		return netip.Addr{}, Errorf(ErrSyntax, "%s is a multicast address; only unicast is forwarded", a)
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return netip.Addr{}, Errorf(ErrSyntax, "%s is the broadcast address; only unicast is forwarded", a)
	}
	return a, nil
}

// joinAddress is the inverse of splitAddress.
func joinAddress(a netip.Addr, rest string) string {
	switch {
	case !a.IsValid():
		return rest
	case a.Is4():
		return a.String() + ":" + rest
	}
	return "[" + a.String() + "]:" + rest
}
