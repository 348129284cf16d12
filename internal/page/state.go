// SPDX-License-Identifier: Apache-2.0

package page

import (
	"context"
	"os"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

// How old an answer may be, whoever else has caused it. Counters are worth a look
// every second; routes, devices and programs of others, which warnings are about, cost
// more and change seldom.
const (
	stateAge  = time.Second
	statusAge = 10 * time.Second
)

// State is what one look at the dataplane shows, in the words of `xfwd list` and
// `xfwd status`.
type State struct {
	// Time is when it was so, by the clock of this host.
	Time     time.Time         `json:"time"`
	Host     string            `json:"host"`
	Version  string            `json:"version"`
	Loaded   bool              `json:"loaded"`
	Forwards []ctl.ForwardView `json:"forwards"`
	Hooks    []ctl.HookStatus  `json:"hooks"`
	Flows    ctl.FlowTable     `json:"flows"`
	Passes   map[string]uint64 `json:"passes"`
	Drops    map[string]uint64 `json:"drops"`
}

func (o Options) state(ctx context.Context) (State, error) {
	m, err := o.Measure(ctx)
	if err != nil {
		return State{}, err
	}
	s := State{
		Time:     time.Now(),
		Version:  o.Version,
		Loaded:   m.Loaded,
		Forwards: ctl.CountersViews(m.Forwards),
		Hooks:    append([]ctl.HookStatus{}, m.Hooks...),
		Flows:    m.Flows,
		Passes:   map[string]uint64{},
		Drops:    map[string]uint64{},
	}
	if m.Loaded {
		s.Passes, s.Drops = m.Passes, m.Drops
	}
	s.Host, err = os.Hostname()
	return s, err
}

func (o Options) status(ctx context.Context) (ctl.Status, error) {
	s, err := o.Status(ctx)
	s.Version = o.Version
	return s, err
}
