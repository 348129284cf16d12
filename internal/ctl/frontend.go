// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// ParseFrontend parses [ADDRESS:]PORT[-PORT][/PROTOCOL]. It returns one
// frontend, or for the protocol tcp+udp two, TCP first. Without a protocol the
// frontend is TCP. Errors are ErrSyntax.
func ParseFrontend(s string) ([]Frontend, error) {
	frontends, err := parseFrontend(s)
	if err != nil {
		return nil, Errorf(ErrSyntax, "frontend %q: %w", s, err)
	}
	return frontends, nil
}

func parseFrontend(s string) ([]Frontend, error) {
	where, protocol, hasProtocol := strings.Cut(s, "/")
	protocols := []Protocol{TCP}
	if hasProtocol {
		var err error
		if protocols, err = parseProtocols(protocol); err != nil {
			return nil, err
		}
	}
	address, rest, err := splitAddress(where)
	if err != nil {
		return nil, err
	}
	ports, err := parsePorts(rest)
	if err != nil {
		return nil, err
	}
	var frontends []Frontend
	for _, p := range protocols {
		frontends = append(frontends, Frontend{Protocol: p, Address: address, Ports: ports})
	}
	return frontends, nil
}

// String returns the frontend as ParseFrontend reads it, always with its
// protocol: 80/tcp or [2001:db8::7]:53/udp. The devices are not part of it.
func (f Frontend) String() string {
	return joinAddress(f.Address, f.Ports.String()) + "/" + f.Protocol.String()
}

// Label is String and, for a frontend of some devices only, these.
func (f Frontend) Label() string {
	if len(f.Devices) == 0 {
		return f.String()
	}
	return f.String() + " on " + strings.Join(f.Devices, ",")
}

// Equal reports whether both frontends are the same key. The devices of both
// must be sorted.
func (f Frontend) Equal(o Frontend) bool {
	return f.Compare(o) == 0
}

// Compare orders frontends by address (none first, IPv4 before IPv6), ports,
// protocol and devices.
func (f Frontend) Compare(o Frontend) int {
	return cmp.Or(
		f.Address.Compare(o.Address),
		f.Ports.Compare(o.Ports),
		cmp.Compare(f.Protocol, o.Protocol),
		slices.Compare(f.Devices, o.Devices),
	)
}

// Conflicts reports whether the dataplane could not tell which of the two
// frontends a packet is for. It can where one is more specific: an address
// beats none, devices beat none, and a single port beats a range. A device's name beats
// a pattern, and a longer pattern a shorter one, if the ports are the same.
func (f Frontend) Conflicts(o Frontend) bool {
	return f.overlaps(o) && (shareDevice(f.Devices, o.Devices) || f.Ports != o.Ports && meetOnDevice(f.Devices, o.Devices))
}

// overlaps reports whether the frontends are the same but for devices, and have a port in
// common that both have as a single one or both in a range.
func (f Frontend) overlaps(o Frontend) bool {
	return f.Protocol == o.Protocol &&
		f.Address == o.Address &&
		f.Ports.Single() == o.Ports.Single() &&
		f.Ports.Overlaps(o.Ports)
}

// samePlace reports whether the frontends may be those of one entry of a file, whose
// forwards share a name: they differ in nothing but the protocol, as the two of tcp+udp
// do, and the address, if both have one.
func (f Frontend) samePlace(o Frontend) bool {
	f.Protocol = o.Protocol
	if f.Address.IsValid() && o.Address.IsValid() {
		f.Address = o.Address
	}
	return f.Equal(o)
}

// frontendKey is Frontend as the key of a Go map.
type frontendKey struct {
	protocol Protocol
	address  netip.Addr
	ports    PortRange
	devices  string
}

// key needs sorted devices. No name of a device has a slash.
func (f Frontend) key() frontendKey {
	return frontendKey{f.Protocol, f.Address, f.Ports, strings.Join(f.Devices, "/")}
}
