// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"errors"
	"iter"
	"net/netip"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// Flows yields the live flows that a filter means, in no order. Those of forwards
// that have been deleted are among them as long as they live on. Those that come, go
// or change while it reads may be missed or seen twice. It keeps nobody from changing
// the dataplane, however long its caller takes.
func (i *Instance) Flows(ctx context.Context, filter FlowFilter) iter.Seq2[Flow, error] {
	return func(yield func(Flow, error) bool) {
		session, err := i.loader.Read(ctx)
		if err != nil {
			yield(Flow{}, classify(err))
			return
		}
		t, err := openFlowTable(session, filter)
		session.Close()
		if err != nil {
			yield(Flow{}, err)
			return
		}
		defer t.close()
		stopped := false
		err = t.each(ctx, func(flow Flow, _ maps.Flow) error {
			if stopped = !yield(flow, nil); stopped {
				return errStop
			}
			return nil
		})
		if err != nil && !stopped {
			yield(Flow{}, err)
		}
	}
}

// flowTable is the flow table of a dataplane, as far as a filter means its flows.
type flowTable struct {
	// d is nil if nothing is loaded.
	d      *loader.Dataplane
	filter FlowFilter
	// forwards are those whose flows are meant, by id.
	forwards map[uint32]Forward
}

// openFlowTable opens the flow table, which stays open when the session ends.
func openFlowTable(session *loader.Session, filter FlowFilter) (*flowTable, error) {
	t := &flowTable{filter: filter, forwards: make(map[uint32]Forward)}
	s := newState(0)
	var err error
	t.d, err = session.Open()
	switch {
	case errors.Is(err, loader.ErrNotLoaded):
	case err != nil:
		return nil, classify(err)
	default:
		if s, err = readState(t.d); err != nil {
			t.close()
			return nil, err
		}
	}
	keys, err := selectKeys(s.forwards(), filter.Forwards)
	if err != nil {
		t.close()
		return nil, err
	}
	for id, k := range s.all {
		f := forwardFromKernel(k, k.Terms(s.epoch))
		if len(filter.Forwards) == 0 || keys[f.Canonical().Frontend.key()] {
			t.forwards[id] = f
		}
	}
	return t, nil
}

func (t *flowTable) close() {
	if t.d != nil {
		t.d.Close()
	}
}

// errStop ends each without being an error.
var errStop = errors.New("stop")

// each calls f for every live flow that is meant, until it returns an error.
func (t *flowTable) each(ctx context.Context, f func(Flow, maps.Flow) error) error {
	if t.d == nil {
		return nil
	}
	var failed error
	err := t.d.Maps.Flows(func(k maps.Flow) bool {
		forward, meant := t.forwards[k.Forward]
		if meant && !k.Expired() {
			if flow := flowOf(k, forward); t.filter.Match(flow) {
				failed = f(flow, k)
			}
		}
		if failed == nil {
			failed = ctx.Err()
		}
		return failed == nil
	})
	if errors.Is(failed, errStop) {
		failed = nil
	}
	return errors.Join(err, failed)
}

func flowOf(f maps.Flow, forward Forward) Flow {
	return Flow{
		Frontend:    forward.Frontend,
		Name:        forward.Name,
		Client:      endpoint(f.Client.Source),
		Destination: endpoint(f.Client.Destination),
		Source:      endpoint(f.Target.Source),
		Target:      endpoint(f.Target.Destination),
		State:       flowState(f),
		Idle:        f.Idle,
	}
}

func endpoint(a netip.AddrPort) FlowEndpoint {
	return FlowEndpoint{Address: a.Addr(), Port: a.Port()}
}

func flowState(f maps.Flow) FlowState {
	switch {
	case f.Client.Protocol == uint8(UDP) && f.Answered:
		return FlowTwoWay
	case f.Client.Protocol == uint8(UDP):
		return FlowOneWay
	case f.Closed():
		return FlowClosed
	case f.FinForward || f.FinReverse:
		return FlowClosing
	case f.Established:
		return FlowEstablished
	}
	return FlowSyn
}
