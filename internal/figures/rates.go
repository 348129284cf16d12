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

	// Label is the frontend, for people.
	Label string `json:"-"`
}

// Rates are what counters grew by in a second.
type Rates struct {
	Forward     Traffic `json:"forward"`
	Reverse     Traffic `json:"reverse"`
	Connections float64 `json:"connectionsPerSecond"`
	Drops       float64 `json:"dropsPerSecond"`
}

// Traffic is the rate of one direction.
type Traffic struct {
	Packets float64 `json:"packetsPerSecond"`
	Bytes   float64 `json:"bytesPerSecond"`
}

// Between compares two samples, and returns the forwards of the second. One that the
// first lacks, or whose counters began anew, counts from zero.
func Between(before, after Sample) []Forward {
	seconds := after.At.Sub(before.At).Seconds()
	old := map[string]ctl.Counters{}
	for _, f := range before.Forwards {
		old[f.Frontend.Label()] = f.Counters
	}
	rated := []Forward{}
	for _, f := range after.Forwards {
		label := f.Frontend.Label()
		was, is := old[label], f.Counters
		if is.Connections.Opened < was.Connections.Opened || is.Forward.Packets < was.Forward.Packets {
			was = ctl.Counters{}
		}
		perSecond := func(was, is uint64) float64 {
			if is < was || seconds <= 0 {
				return 0
			}
			return float64(is-was) / seconds
		}
		rated = append(rated, Forward{
			ForwardView: f.CountersView(),
			Rates: Rates{
				Forward:     Traffic{perSecond(was.Forward.Packets, is.Forward.Packets), perSecond(was.Forward.Bytes, is.Forward.Bytes)},
				Reverse:     Traffic{perSecond(was.Reverse.Packets, is.Reverse.Packets), perSecond(was.Reverse.Bytes, is.Reverse.Bytes)},
				Connections: perSecond(was.Connections.Opened, is.Connections.Opened),
				Drops:       perSecond(Total(was.Drops), Total(is.Drops)),
			},
			Label: label,
		})
	}
	return rated
}

// Rate prints a rate, rounded to a whole number.
func Rate(perSecond float64) string {
	return Short(uint64(perSecond + 0.5))
}
