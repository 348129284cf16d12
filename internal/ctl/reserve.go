// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// enoughPorts is how many ports a host needs for its own connections at any rate; of a
// small range, a quarter.
const enoughPorts = 4096

// publishedPorts returns the ports of frontends that the kernel gives to the host's own
// sockets, so that they can be reserved. If too few would be left there are none, and a
// warning if one of the forwards is new: then clients and the host's own connections
// share the ports.
func publishedPorts(ephemeral maps.PortRange, forwards, added []Forward) (published []maps.PortRange, warnings []string) {
	var taken [1 << 16]bool
	left := int(ephemeral.Last) - int(ephemeral.First) + 1
	enough := min(enoughPorts, left/4)
	for _, f := range forwards {
		first, last := max(f.Frontend.Ports.First, ephemeral.First), min(f.Frontend.Ports.Last, ephemeral.Last)
		if first > last {
			continue
		}
		published = append(published, maps.PortRange{First: first, Last: last})
		for port := int(first); port <= int(last); port++ {
			if !taken[port] {
				taken[port] = true
				left--
			}
		}
	}
	if left >= enough {
		return published, nil
	}
	if slices.ContainsFunc(added, func(f Forward) bool { return f.Frontend.Ports.Overlaps(PortRange(ephemeral)) }) {
		warnings = append(warnings, fmt.Sprintf("forwards have nearly all ports of net.ipv4.ip_local_port_range, %d to %d, so connections of this host itself share ports with clients: give it others, or the forwards fewer",
			ephemeral.First, ephemeral.Last))
	}
	return nil, warnings
}

// reservedPorts are the ports that sockets of this host shall not get: those of
// frontends, and those of masqueraded flows if packets leave again.
func (p *plan) reservedPorts(d *loader.Dataplane, leaves bool) []maps.PortRange {
	if !leaves {
		return p.published
	}
	return append(slices.Clone(p.published), d.Settings.Masquerade)
}
