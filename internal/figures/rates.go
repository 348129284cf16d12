// SPDX-License-Identifier: Apache-2.0

package figures

import (
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

// Sample is the counters of some forwards at one time.
type Sample struct {
	At       time.Time
	Forwards []ctl.ForwardCounters
}

// Forward is a forward with counters and what these grew by in a second.
type Forward struct {
	ctl.ForwardView
	Rates Rates `json:"rates"`

	// Uses are the rates of each of Backends, in their order.
	Uses []Throughput `json:"-"`
	// Label is the frontend, for people.
	Label string `json:"-"`
}

// Rates are what counters of a forward grew by in a second.
type Rates struct {
	Throughput
	Drops float64 `json:"dropsPerSecond"`
}

// Throughput is what a forward, or one of its backends, has carried in a second.
type Throughput struct {
	Forward     Traffic `json:"forward"`
	Reverse     Traffic `json:"reverse"`
	Connections float64 `json:"connectionsPerSecond"`
}

// Traffic is the rate of one direction.
type Traffic struct {
	Packets float64 `json:"packetsPerSecond"`
	Bytes   float64 `json:"bytesPerSecond"`
}

// Between compares two samples, and returns the forwards of the second. One that the
// first lacks, or whose counters began anew, counts from zero, and so do backends.
func Between(before, after Sample) []Forward {
	seconds := after.At.Sub(before.At).Seconds()
	old := map[string]ctl.ForwardCounters{}
	for _, f := range before.Forwards {
		old[f.Frontend.Label()] = f
	}
	rated := []Forward{}
	for _, f := range after.Forwards {
		label := f.Frontend.Label()
		was := old[label]
		if carriedBy(f).beganAnew(carriedBy(was)) {
			was = ctl.ForwardCounters{}
		}
		rated = append(rated, Forward{
			ForwardView: f.CountersView(),
			Rates: Rates{
				Throughput: carriedBy(f).since(carriedBy(was), seconds),
				Drops:      perSecond(Total(was.Counters.Drops), Total(f.Counters.Drops), seconds),
			},
			Uses:  uses(was, f, seconds),
			Label: label,
		})
	}
	return rated
}

// uses are the rates of the backends of a forward.
func uses(was, is ctl.ForwardCounters, seconds float64) []Throughput {
	old := map[string]carried{}
	for i, use := range was.Uses {
		old[was.Backends[i].Place()] = carriedTo(use)
	}
	var rates []Throughput
	for i, use := range is.Uses {
		before := old[is.Backends[i].Place()]
		if carriedTo(use).beganAnew(before) {
			before = carried{}
		}
		rates = append(rates, carriedTo(use).since(before, seconds))
	}
	return rates
}

// carried is what was counted of a forward, or of one of its backends.
type carried struct {
	forward, reverse ctl.Traffic
	opened           uint64
}

func carriedBy(f ctl.ForwardCounters) carried {
	return carried{f.Counters.Forward, f.Counters.Reverse, f.Counters.Connections.Opened}
}

func carriedTo(use ctl.BackendUse) carried {
	return carried{use.Forward, use.Reverse, use.Connections.Opened}
}

// beganAnew says whether counters were set back to zero in between.
func (is carried) beganAnew(was carried) bool {
	return is.opened < was.opened || is.forward.Packets < was.forward.Packets
}

func (is carried) since(was carried, seconds float64) Throughput {
	return Throughput{
		Forward:     grown(was.forward, is.forward, seconds),
		Reverse:     grown(was.reverse, is.reverse, seconds),
		Connections: perSecond(was.opened, is.opened, seconds),
	}
}

func grown(was, is ctl.Traffic, seconds float64) Traffic {
	return Traffic{perSecond(was.Packets, is.Packets, seconds), perSecond(was.Bytes, is.Bytes, seconds)}
}

func perSecond(was, is uint64, seconds float64) float64 {
	if is < was || seconds <= 0 {
		return 0
	}
	return float64(is-was) / seconds
}

// Rate prints a rate, rounded to a whole number.
func Rate(perSecond float64) string {
	return Short(uint64(perSecond + 0.5))
}
