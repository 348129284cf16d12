// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// Measure measures the instance, loaded or not. It looks at every flow once, and at
// nothing outside of the dataplane but the devices.
func (i *Instance) Measure(ctx context.Context) (Measurement, error) {
	var m Measurement
	err := i.read(ctx, func(d *loader.Dataplane) error {
		s, err := readState(d)
		if err != nil {
			return err
		}
		m = Measurement{Loaded: true}
		c := newCensus()
		usage, err := d.Maps.Usage(func(f maps.Flow) bool {
			c.count(f)
			return ctx.Err() == nil
		})
		if err != nil {
			return err
		}
		for _, u := range usage {
			m.Maps = append(m.Maps, MapUse(u))
		}
		if m.Forwards, err = c.forwards(d, s); err != nil {
			return err
		}
		m.Flows = c.table
		if err := m.Flows.describe(d); err != nil {
			return err
		}
		hooks, err := d.Hooks()
		if err != nil {
			return classify(err)
		}
		for _, h := range hooks {
			m.Hooks = append(m.Hooks, hookStatus(h))
		}
		if m.Passes, m.Drops, err = d.Maps.Reasons(); err != nil {
			return err
		}
		return ctx.Err()
	})
	if err != nil {
		return Measurement{}, err
	}
	return m, nil
}

// Loaded says whether the instance is in the kernel and can be read.
func (i *Instance) Loaded(ctx context.Context) (bool, error) {
	loaded := false
	err := i.read(ctx, func(*loader.Dataplane) error {
		loaded = true
		return nil
	})
	return loaded, err
}
