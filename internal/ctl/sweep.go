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
// only look like traffic to whoever counts entries. Commands do not wait for it.
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
	var some []maps.Flow
	err = d.Maps.Flows(func(f maps.Flow) bool {
		if f.Expired() {
			some = append(some, f)
		}
		return ctx.Err() == nil
	})
	if err := errors.Join(err, ctx.Err()); err != nil || len(some) == 0 {
		return swept, err
	}
	// The counts of connections are the writers'.
	writer, err := i.loader.Write(ctx)
	if err != nil {
		return swept, classify(err)
	}
	defer writer.Close()
	swept.Flows, err = d.Maps.SweepFlows(some)
	return swept, err
}
