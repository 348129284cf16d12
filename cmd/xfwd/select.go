// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"

	"github.com/xfwd/xfwd/internal/ctl"
)

// counted returns the forwards that the references mean, all for none, with
// their counters.
func counted(ctx context.Context, d dataplane, refs []string) ([]ctl.ForwardCounters, error) {
	all, err := d.Counters(ctx)
	if err != nil || len(refs) == 0 {
		return all, err
	}
	forwards := make([]ctl.Forward, len(all))
	for i, f := range all {
		forwards[i] = f.Forward
	}
	selected, err := ctl.Select(forwards, refs)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(f ctl.ForwardCounters) bool {
		return !slices.ContainsFunc(selected, func(s ctl.Forward) bool { return s.Frontend.Equal(f.Frontend) })
	}), nil
}
