// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
)

// AwaitDevices waits until every device that the forwards name is there, or until ctx
// ends. It returns the names of those that are not. A pattern names no device.
func (i *Instance) AwaitDevices(ctx context.Context, forwards []Forward) (missing []string, err error) {
	names := namedDevices(forwards)
	if len(names) == 0 {
		return nil, nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	look := func() {
		var devices *loader.Devices
		if devices, err = i.loader.Devices(); err != nil {
			stop()
			return
		}
		missing = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			_, found := devices.Ifindex(name)
			return found
		})
		if len(missing) == 0 {
			stop()
		}
	}
	failed := i.loader.Events(ctx, look, func(c loader.Change) {
		if c.HasHost() {
			look()
		}
	})
	if ctx.Err() == nil {
		return missing, classify(failed)
	}
	return missing, classify(err)
}

// namedDevices returns the names of devices that forwards are bound to, sorted.
func namedDevices(forwards []Forward) []string {
	var names []string
	for _, f := range forwards {
		for _, word := range f.Frontend.Devices {
			if _, isPattern := pattern(word); !isPattern {
				names = append(names, word)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
