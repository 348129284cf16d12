// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"maps"

	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// counted is what the programs have counted, or have between two moments.
// What is zero is left out of the maps.
type counted struct {
	Traffic xfwd.Counters
	// Reasons are packets by reason, of all forwards and of none.
	Reasons map[string]uint64
	// Drops are the drops that are ascribed to a forward, by reason.
	Drops map[string]uint64
}

// lastForward is the highest id that a forward of a test gets.
const lastForward = 16

// counted reads all counters, those of all forwards together.
func (r *run) counted() counted {
	r.Helper()
	c := counted{Drops: make(map[string]uint64)}
	all, err := r.set.Counters(lastForward)
	if err != nil {
		r.Fatal(err)
	}
	for _, one := range all {
		c.Traffic.ForwardPackets += one.ForwardPackets
		c.Traffic.ForwardBytes += one.ForwardBytes
		c.Traffic.ReversePackets += one.ReversePackets
		c.Traffic.ReverseBytes += one.ReverseBytes
		c.Traffic.Opened += one.Opened
	}
	passes, drops, err := r.set.Reasons()
	if err != nil {
		r.Fatal(err)
	}
	c.Reasons = passes
	maps.Copy(c.Reasons, drops)
	byForward, err := r.set.Drops()
	if err != nil {
		r.Fatal(err)
	}
	for _, drops := range byForward {
		for reason, packets := range drops {
			c.Drops[reason] += packets
		}
	}
	return c
}

// since is what has been counted since a moment.
func (c counted) since(before counted) counted {
	return counted{
		Traffic: xfwd.Counters{
			ForwardPackets: c.Traffic.ForwardPackets - before.Traffic.ForwardPackets,
			ForwardBytes:   c.Traffic.ForwardBytes - before.Traffic.ForwardBytes,
			ReversePackets: c.Traffic.ReversePackets - before.Traffic.ReversePackets,
			ReverseBytes:   c.Traffic.ReverseBytes - before.Traffic.ReverseBytes,
			Opened:         c.Traffic.Opened - before.Traffic.Opened,
		},
		Reasons: difference(c.Reasons, before.Reasons),
		Drops:   difference(c.Drops, before.Drops),
	}
}

func difference(after, before map[string]uint64) map[string]uint64 {
	d := make(map[string]uint64)
	for name, packets := range after {
		if packets != before[name] {
			d[name] = packets - before[name]
		}
	}
	return d
}
