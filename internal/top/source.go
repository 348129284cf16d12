// SPDX-License-Identifier: Apache-2.0

package top

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/figures"
)

// Source is the dataplane that is looked at, such as a ctl.Instance.
type Source interface {
	Counters(context.Context) ([]ctl.ForwardCounters, error)
	Flows(context.Context, ctl.FlowFilter) iter.Seq2[ctl.Flow, error]
	Status(context.Context) (ctl.Status, error)
}

// Sample is what was found at one time.
type Sample struct {
	figures.Sample
	// Status may be some seconds older.
	Status ctl.Status
	// Of is the forward that was looked into, by its label, and Flows some of its
	// flows, those first that had a packet last.
	Of    string
	Flows []ctl.Flow
	// Err is why there is nothing else in the sample.
	Err error
}

const (
	// mostFlows is how many flows of a forward are read.
	mostFlows = 1000
	// statusInterval is how old a status may become. It takes longer than counters,
	// and what it says changes less often.
	statusInterval = 5 * time.Second
)

// sampler takes samples.
type sampler struct {
	source Source
	now    func() time.Time

	status   ctl.Status
	statusAt time.Time
}

// take takes a sample, with flows of the forward that has the label, if there is one.
func (s *sampler) take(ctx context.Context, label string) Sample {
	sample := Sample{Of: label}
	sample.Err = errors.Join(s.takeCounters(ctx, &sample), s.takeFlows(ctx, &sample), s.takeStatus(ctx, &sample))
	return sample
}

func (s *sampler) takeCounters(ctx context.Context, sample *Sample) (err error) {
	sample.Forwards, err = s.source.Counters(ctx)
	// It is the end of the reading that counters are nearest to: the flows were first.
	sample.At = s.now()
	return err
}

func (s *sampler) takeFlows(ctx context.Context, sample *Sample) error {
	i := slices.IndexFunc(sample.Forwards, func(f ctl.ForwardCounters) bool { return f.Frontend.Label() == sample.Of })
	if i < 0 {
		return nil
	}
	// This stands for the forwards of other devices, too.
	filter := ctl.FlowFilter{Forwards: []string{sample.Forwards[i].Frontend.String()}}
	for flow, err := range s.source.Flows(ctx, filter) {
		if errors.Is(err, ctl.ErrNotFound) {
			return nil // it has gone in between
		}
		if err != nil {
			return err
		}
		if flow.Frontend.Label() != sample.Of {
			continue
		}
		if sample.Flows = append(sample.Flows, flow); len(sample.Flows) == mostFlows {
			break
		}
	}
	slices.SortFunc(sample.Flows, func(a, b ctl.Flow) int {
		return cmp.Or(cmp.Compare(a.Idle.Truncate(time.Second), b.Idle.Truncate(time.Second)),
			a.Client.Address.Compare(b.Client.Address), cmp.Compare(a.Client.Port, b.Client.Port))
	})
	return nil
}

func (s *sampler) takeStatus(ctx context.Context, sample *Sample) (err error) {
	// When there are no forwards, it says why.
	if len(sample.Forwards) == 0 || sample.At.Sub(s.statusAt) >= statusInterval {
		s.status, err = s.source.Status(ctx)
		s.statusAt = sample.At
	}
	sample.Status = s.status
	return err
}
