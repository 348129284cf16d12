// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"errors"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// Swept is what Sweep has forgotten.
type Swept struct {
	Flows, Fragments int
}

// Sweep forgets flows that have expired, and datagrams whose last fragments have not
// come. Without it they stay until a packet finds them, or others need their room; they
// only look like traffic to whoever counts entries. Having seen all of the flow table, it
// knows how many entries that has lost. Commands do not wait for it.
func (i *Instance) Sweep(ctx context.Context) (Swept, error) {
	var swept Swept
	session, err := i.loader.Read(ctx)
	if err != nil {
		return swept, classify(err)
	}
	d, err := session.Open()
	session.Close()
	if errors.Is(err, loader.ErrNotLoaded) {
		return swept, nil
	}
	if err != nil {
		return swept, classify(err)
	}
	defer d.Close()
	if swept.Fragments, err = d.Maps.SweepFragments(); err != nil {
		return swept, err
	}
	inserted, err := d.Maps.Inserted()
	if err != nil {
		return swept, err
	}
	var some []maps.Flow
	there, err := d.Maps.CountFlows(func(f maps.Flow) bool {
		if f.Expired() {
			some = append(some, f)
		}
		return ctx.Err() == nil
	})
	if err := errors.Join(err, ctx.Err()); err != nil {
		return swept, err
	}
	// The counts of connections and of deletions are the writers'.
	writer, err := i.loader.Write(ctx)
	if err != nil {
		return swept, classify(err)
	}
	defer writer.Close()
	if err := d.Maps.CountEvicted(inserted, there); err != nil {
		return swept, err
	}
	swept.Flows, err = d.Maps.SweepFlows(some)
	return swept, err
}
