// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"github.com/xfwd/xfwd/internal/ctl"
)

// hookGroup is devices of one kind that are attached alike, or the hooks of sockets.
type hookGroup struct {
	// device is the first of count devices.
	device, kind string
	count        int
	hooks        []hookLine
}

// hookLine is hooks of a device that have the same mode for the same reason.
type hookLine struct{ names, mode, why string }

// label is the device, or the kind of several and how many they are.
func (g hookGroup) label() string {
	if g.count > 1 {
		return fmt.Sprintf("%s (%d)", g.kind, g.count)
	}
	return g.device
}

// groupHooks groups hooks, those of one device in a row, in the order of the first device
// of each group. What is missing stands by itself.
func groupHooks(hooks []ctl.HookStatus) []hookGroup {
	var groups []hookGroup
	for len(hooks) > 0 {
		end := slices.IndexFunc(hooks, func(h ctl.HookStatus) bool { return h.Device != hooks[0].Device })
		if end < 0 {
			end = len(hooks)
		}
		g, missing := groupOf(hooks[:end])
		i := slices.IndexFunc(groups, func(o hookGroup) bool { return o.kind == g.kind && slices.Equal(o.hooks, g.hooks) })
		if i < 0 || missing || g.kind == "" {
			groups = append(groups, g)
		} else {
			groups[i].count++
		}
		hooks = hooks[end:]
	}
	return groups
}

// groupOf is the group of one device.
func groupOf(hooks []ctl.HookStatus) (g hookGroup, missing bool) {
	g = hookGroup{device: hooks[0].Device, kind: hooks[0].Kind, count: 1}
	for _, h := range hooks {
		missing = missing || h.Missing
		i := slices.IndexFunc(g.hooks, func(l hookLine) bool { return l.mode == h.Mode && l.why == h.Why })
		if i < 0 {
			g.hooks = append(g.hooks, hookLine{h.Hook, h.Mode, h.Why})
		} else {
			g.hooks[i].names += "," + h.Hook
		}
	}
	return g, missing
}
