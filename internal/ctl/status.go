// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"fmt"

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
		forwards := s.forwards()
		status.Forwards = len(forwards)
		hooks, err := d.Hooks()
		if err != nil {
			return classify(err)
		}
		for _, h := range hooks {
			status.Hooks = append(status.Hooks, hookStatus(h))
		}
		status.Warnings = append(status.Warnings, hookWarnings(hooks)...)
		if err := status.Flows.describe(d); err != nil {
			return err
		}
		err = d.Maps.Flows(func(f maps.Flow) bool {
			status.Flows.count(f)
			return true
		})
		if err != nil {
			return err
		}
		status.Warnings = append(status.Warnings, flowWarnings(status.Flows)...)
		host, err := i.loader.Host()
		if err != nil {
			return classify(err)
		}
		status.Warnings = append(status.Warnings, deviceWarnings(host, forwards)...)
		status.Warnings = append(status.Warnings, sourceAddressWarnings(host, forwards)...)
		status.Warnings = append(status.Warnings, lostDeviceWarnings(host, s)...)
		status.Warnings = append(status.Warnings, wayWarnings(host, allTargets(forwards))...)
		status.Warnings = append(status.Warnings, mssWarnings(host, allTargets(forwards))...)
		status.Warnings = append(status.Warnings, shapingWarnings(host, allTargets(forwards))...)
		status.Passes, status.Drops, err = d.Maps.Reasons()
		return err
	})
	if err != nil {
		return status, err
	}
	if err := loader.CheckKernel(); err != nil {
		status.Warnings = append(status.Warnings, err.Error())
	}
	strays, err := i.loader.Strays()
	if len(strays) > 0 {
		status.Warnings = append(status.Warnings, i.loader.StrayRemedy(strays))
	}
	return status, classify(err)
}

func hookStatus(h loader.Hook) HookStatus {
	return HookStatus{Device: h.Device, Kind: h.Kind, Hook: h.Name, Mode: h.Mode, Why: h.Why, Missing: h.Missing}
}

// flowWarnings says whether the flow table forgets connections that live, or will
// soon. Those that are half-open or closed may fill their part of it.
func flowWarnings(flows FlowTable) []string {
	const nearlyFull = 0.9
	room := float64(flows.MaxFlows)
	if float64(flows.Established) < nearlyFull*room {
		return nil
	}
	return []string{fmt.Sprintf("the flow table is nearly full, and then forgets the connections that have been idle for longest: %d of %d are established; "+
		"`xfwd save`, `xfwd unload`, then `xfwd restore --max-flows %d` makes it larger", flows.Established, flows.MaxFlows, 4*flows.MaxFlows)}
}

// deviceWarnings says which forwards are bound to devices that are not there.
func deviceWarnings(host *loader.Host, forwards []Forward) []string {
	var warnings messages
	for _, f := range forwards {
		warnings.addMissingDevices(host, f)
	}
	return warnings.most("devices")
}

// allTargets returns the backends of all forwards.
func allTargets(forwards []Forward) []target {
	var targets []target
	for _, f := range forwards {
		for _, b := range f.Backends {
			targets = append(targets, target{f, b})
		}
	}
	return targets
}
