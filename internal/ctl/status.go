// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// Status describes the instance, loaded or not.
func (i *Instance) Status(ctx context.Context) (Status, error) {
	status := Status{
		Kernel:   loader.KernelRelease(),
		Pins:     i.loader.Pins(),
		Hooks:    []HookStatus{},
		Passes:   map[string]uint64{},
		Drops:    map[string]uint64{},
		Warnings: []string{},
	}
	err := i.read(ctx, func(d *loader.Dataplane) error {
		status.Loaded = true
		s, err := readState(d)
		if err != nil {
			return err
		}
		status.Forwards = len(s.alive())
		hooks, err := d.Hooks()
		if err != nil {
			return classify(err)
		}
		for _, h := range hooks {
			status.Hooks = append(status.Hooks, HookStatus{Device: h.Device, Hook: h.Name, Mode: h.Mode, Why: h.Why})
		}
		status.Warnings = append(status.Warnings, hookWarnings(hooks)...)
		status.Flows.MaxFlows = d.Settings.MaxFlows
		err = d.Maps.Flows(func(f maps.Flow) bool {
			switch {
			case f.Expired():
			case f.Established:
				status.Flows.Established++
			default:
				status.Flows.Transitory++
			}
			return true
		})
		if err != nil {
			return err
		}
		status.Passes, status.Drops, err = d.Maps.Reasons()
		return err
	})
	return status, err
}
