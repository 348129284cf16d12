// SPDX-License-Identifier: Apache-2.0

package top

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"testing"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

// source is one with the forwards of sample, and flows of port 80.
type source struct {
	t     *testing.T
	flows []ctl.Flow
	err   error
	// statuses and read count how often a status was read, and flows.
	statuses, read int
}

func (s *source) Counters(context.Context) ([]ctl.ForwardCounters, error) {
	return sample(s.t, 1).Forwards, s.err
}

func (s *source) Status(context.Context) (ctl.Status, error) {
	s.statuses++
	return ctl.Status{Loaded: true}, s.err
}

func (s *source) Flows(_ context.Context, filter ctl.FlowFilter) iter.Seq2[ctl.Flow, error] {
	return func(yield func(ctl.Flow, error) bool) {
		if len(filter.Forwards) != 1 || filter.Forwards[0] != "80/tcp" {
			s.t.Errorf("flows of %q are read", filter.Forwards)
		}
		for _, flow := range s.flows {
			if s.read++; !yield(flow, nil) {
				return
			}
		}
	}
}

// Of many flows, some are read, and those that had a packet last come first.
func TestSampleOfFlows(t *testing.T) {
	s := &source{t: t}
	of := sample(t, 1).Forwards[0].Frontend
	other := of
	other.Devices = []string{"eth0"}
	for i := range 3 * mostFlows {
		flow := ctl.Flow{Frontend: of, Idle: time.Duration(3*mostFlows-i) * time.Second, Client: ctl.FlowEndpoint{Address: netip.MustParseAddr("192.0.2.7")}}
		if i%3 == 0 {
			flow.Frontend = other
		}
		s.flows = append(s.flows, flow)
	}
	got := (&sampler{source: s, now: time.Now}).take(t.Context(), "80/tcp")
	if got.Err != nil || got.Of != "80/tcp" || len(got.Flows) != mostFlows || s.read != 3*mostFlows/2 {
		t.Fatalf("%d of %d flows of %q, %v", len(got.Flows), s.read, got.Of, got.Err)
	}
	for i, flow := range got.Flows {
		if flow.Frontend.Label() != "80/tcp" || i > 0 && flow.Idle < got.Flows[i-1].Idle {
			t.Fatalf("flow %d is one of %s, idle for %v", i, flow.Frontend.Label(), flow.Idle)
		}
	}
	if got := (&sampler{source: s, now: time.Now}).take(t.Context(), "81/tcp"); got.Err != nil || len(got.Flows) != 0 {
		t.Errorf("of a forward that is not there: %+v", got)
	}
}

// A status is read every few seconds only, and an error is told.
func TestSampleOfStatus(t *testing.T) {
	s := &source{t: t}
	now := noon
	sampler := &sampler{source: s, now: func() time.Time { return now }}
	for range 12 {
		if got := sampler.take(t.Context(), ""); got.Err != nil || !got.Status.Loaded || got.At != now {
			t.Errorf("%+v", got)
		}
		now = now.Add(time.Second)
	}
	if s.statuses != 3 {
		t.Errorf("in 12 seconds %d statuses were read, want 3", s.statuses)
	}
	s.err = errors.New("no more")
	if got := sampler.take(t.Context(), ""); !errors.Is(got.Err, s.err) {
		t.Errorf("%+v", got)
	}
}

// A reading that takes long is followed by a rest of three times as long.
func TestPauseBetweenSamples(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: time.Second, 100 * time.Millisecond: 900 * time.Millisecond, 250 * time.Millisecond: 750 * time.Millisecond, 2 * time.Second: 6 * time.Second,
	} {
		if got := pause(time.Second, took); got != want {
			t.Errorf("after %v, a pause of %v, want %v", took, got, want)
		}
	}
}
