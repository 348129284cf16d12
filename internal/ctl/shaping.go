// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/xfwd/xfwd/internal/loader"
)

// shapingWarnings says whose filters do not see what is sent on to backends elsewhere: our
// programs at ingress come before them, or no answer would be translated where one of them
// accepts a packet.
func shapingWarnings(host *loader.Host, targets []target) []string {
	if !slices.ContainsFunc(targets, func(t target) bool { return elsewhere(host, t.backend.Address) }) {
		return nil
	}
	devices := host.IngressFilters()
	if len(devices) == 0 {
		return nil
	}
	const most = 3
	if more := len(devices) - most; more > 0 {
		devices = append(devices[:most:most], fmt.Sprintf("%d more devices", more))
	}
	return []string{fmt.Sprintf("filters of tc at ingress of %s do not see what xfwd sends on to other machines, so they neither shape nor police it: "+
		"shape at egress of the device that leads to the backend, with `tc qdisc`", strings.Join(devices, ", "))}
}
