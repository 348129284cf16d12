// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// Counters is Forwards with counters.
func (i *Instance) Counters(ctx context.Context) ([]ForwardCounters, error) {
	var result []ForwardCounters
	err := i.read(ctx, func(d *loader.Dataplane) error {
		s, err := readState(d)
		if err != nil {
			return err
		}
		c := newCensus()
		err = d.Maps.Flows(func(f maps.Flow) bool {
			c.count(f)
			return true
		})
		if err != nil {
			return err
		}
		result, err = c.forwards(d, s)
		return err
	})
	return result, err
}
