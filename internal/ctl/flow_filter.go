// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// FlowState is what a flow has come to.
type FlowState string

// The states of a flow: those of a TCP connection, then those of UDP.
const (
	FlowSyn         FlowState = "syn"
	FlowEstablished FlowState = "established"
	FlowClosing     FlowState = "closing"
	FlowClosed      FlowState = "closed"
	FlowOneWay      FlowState = "one-way"
	FlowTwoWay      FlowState = "two-way"
)

// FlowStates returns all of them.
func FlowStates() []FlowState {
	return []FlowState{FlowSyn, FlowEstablished, FlowClosing, FlowClosed, FlowOneWay, FlowTwoWay}
}

// FlowFilter says which flows are meant: those that have all that is asked for. The
// zero value is every flow.
type FlowFilter struct {
	// Forwards are references as Select takes them. None means the flows of every
	// forward, also of those that have been deleted.
	Forwards       []string
	Client, Target EndpointFilter
	// Protocol is zero for either.
	Protocol Protocol
	// States are alternatives; none means any.
	States []FlowState
	// Idle is how long a flow has been idle at least.
	Idle time.Duration
}

// Match says whether a flow of one of the forwards that are meant is meant.
func (f FlowFilter) Match(flow Flow) bool {
	return (f.Protocol == 0 || f.Protocol == flow.Frontend.Protocol) &&
		(len(f.States) == 0 || slices.Contains(f.States, flow.State)) &&
		flow.Idle >= f.Idle && f.Client.Match(flow.Client) && f.Target.Match(flow.Target)
}

// EndpointFilter says which ends of flows are meant. The zero value is every end.
type EndpointFilter struct {
	// Addresses is invalid for every address.
	Addresses netip.Prefix
	// Port is zero for every port.
	Port uint16
}

// Match says whether an end is meant.
func (f EndpointFilter) Match(e FlowEndpoint) bool {
	return (f.Port == 0 || f.Port == e.Port) && (!f.Addresses.IsValid() || f.Addresses.Contains(e.Address))
}

// String returns the filter as ParseEndpointFilter reads it.
func (f EndpointFilter) String() string {
	if f == (EndpointFilter{}) {
		return ""
	}
	addresses := ""
	if f.Addresses.IsValid() {
		addresses = f.Addresses.String()
		if f.Addresses.IsSingleIP() {
			addresses = f.Addresses.Addr().String()
		}
	}
	if f.Port == 0 {
		return addresses
	}
	if f.Addresses.Addr().Is6() {
		addresses = "[" + addresses + "]"
	}
	return addresses + ":" + PortRange{f.Port, f.Port}.String()
}

// ParseEndpointFilter parses ADDRESS, ADDRESS/LENGTH or nothing, and then :PORT or
// nothing. With a port, IPv6 stands in brackets. Errors are ErrSyntax.
func ParseEndpointFilter(s string) (EndpointFilter, error) {
	addresses, port, hasPort := s, "", false
	switch {
	case strings.HasPrefix(s, "["):
		var closed bool
		if addresses, port, closed = strings.Cut(s[1:], "]"); !closed {
			return EndpointFilter{}, Errorf(ErrSyntax, "the bracket is not closed; write one like [2001:db8::7]:443 or [2001:db8::/32]:443")
		}
		if port, hasPort = strings.CutPrefix(port, ":"); !hasPort {
			return EndpointFilter{}, Errorf(ErrSyntax, "a colon and a port must follow the bracket; without a port, write no brackets")
		}
	case strings.Count(s, ":") == 1:
		addresses, port, hasPort = strings.Cut(s, ":")
	}
	var f EndpointFilter
	var err error
	if hasPort {
		if f.Port, err = parsePort(port); err != nil {
			return EndpointFilter{}, err
		}
	}
	if addresses == "" && hasPort {
		return f, nil
	}
	f.Addresses, err = parseAddresses(addresses)
	return f, err
}

// parseAddresses parses an address or the prefix of several.
func parseAddresses(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		prefix, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			return netip.Prefix{}, Errorf(ErrSyntax, "%q is not a prefix; write one like 192.0.2.0/24 or 2001:db8::/32", s)
		case prefix.Masked() != prefix:
			return netip.Prefix{}, Errorf(ErrSyntax, "%s has bits behind its length; write %s", prefix, prefix.Masked())
		case prefix.Addr().Is4In6():
			return netip.Prefix{}, Errorf(ErrSyntax, "%s is an IPv4 prefix in IPv6 clothes; write %s/%d", prefix, prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		return prefix, nil
	}
	address, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return netip.Prefix{}, Errorf(ErrSyntax, "%q is not an IP address; write one like 192.0.2.7, 192.0.2.0/24, [2001:db8::7]:443 or :443", s)
	case address.Zone() != "":
		return netip.Prefix{}, Errorf(ErrSyntax, "flows have no zones; write %s", address.WithZone(""))
	case address.Is4In6():
		return netip.Prefix{}, Errorf(ErrSyntax, "%s is an IPv4 address in IPv6 clothes; write %s", address, address.Unmap())
	}
	return netip.PrefixFrom(address, address.BitLen()), nil
}
