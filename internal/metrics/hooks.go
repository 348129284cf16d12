// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/xfwd/xfwd/internal/ctl"
)

var hookAttached = gauge("hook_attached",
	"Whether a program is attached where one should be; the hooks of sockets have no device.", "device", "hook", "mode")

// collectHooks leaves out the hooks that have no program and should have none.
func collectHooks(to chan<- prometheus.Metric, hooks []ctl.HookStatus) {
	for _, h := range hooks {
		if h.Mode != ctl.ModeNone || h.Missing {
			hookAttached.put(to, truth(!h.Missing), h.Device, h.Hook, h.Mode)
		}
	}
}
