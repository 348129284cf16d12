// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"

	"github.com/xfwd/xfwd/internal/loader"
)

// Reconcile brings a dataplane that is loaded up to date with the host: it attaches to
// devices that have come and hooks that somebody has taken away, learns addresses and
// devices anew, and has all next hops looked up again. Forwards that have not expired,
// flows and counters stay, and so do the programs, of whichever version they are.
func (i *Instance) Reconcile(ctx context.Context) (Report, error) {
	if loaded, err := i.Loaded(ctx); err != nil || !loaded {
		return Report{}, err
	}
	same := func(have []Forward) ([]Forward, error) { return have, nil }
	return i.Update(ctx, same, UpdateOptions{KeepPrograms: true})
}

// EndNextHops has all next hops of flows looked up again, with their next packets.
func (i *Instance) EndNextHops(ctx context.Context) error {
	if loaded, err := i.Loaded(ctx); err != nil || !loaded {
		return err
	}
	return i.during(ctx, i.loader.Write, (*loader.Dataplane).EndNextHops)
}
