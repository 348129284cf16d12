// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"errors"

	"github.com/xfwd/xfwd/internal/loader"
)

// Reconcile brings a dataplane that is loaded up to date with the host: it attaches to
// devices that have come and hooks that somebody has taken away, learns addresses and
// devices anew, and has all next hops looked up again. Forwards that have not expired,
// flows and counters stay, and so do the programs, of whichever version they are.
func (i *Instance) Reconcile(ctx context.Context) (Report, error) {
	r, _, err := i.reconcile(ctx)
	return r, err
}

// reconcile is Reconcile, and returns what the next changes of the host are followed from;
// nothing if no dataplane is loaded.
func (i *Instance) reconcile(ctx context.Context) (Report, *lookout, error) {
	if loaded, err := i.loader.Loaded(ctx); err != nil || !loaded {
		return Report{}, nil, classify(err)
	}
	same := func(have []Forward) ([]Forward, error) { return have, nil }
	return i.update(ctx, same, UpdateOptions{KeepPrograms: true})
}

// EndNextHops has all next hops of flows looked up again, with their next packets.
func (i *Instance) EndNextHops(ctx context.Context) error {
	if loaded, err := i.loader.Loaded(ctx); err != nil || !loaded {
		return classify(err)
	}
	session, err := i.loader.Write(ctx)
	if err != nil {
		return classify(err)
	}
	defer session.Close()
	d, err := session.OpenPart(false)
	if errors.Is(err, loader.ErrNotLoaded) {
		return nil
	}
	if err != nil {
		return classify(err)
	}
	defer d.Close()
	return d.EndNextHops()
}
