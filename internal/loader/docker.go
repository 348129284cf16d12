// SPDX-License-Identifier: Apache-2.0

package loader

import "regexp"

// dockerBridge matches the names that Docker gives to the bridges of its networks: the
// first one, and one by the beginning of its network's id.
var dockerBridge = regexp.MustCompile(`^(docker0|br-[0-9a-f]{12})$`)

// DockerBridges returns the bridges whose names are those that Docker gives.
func (h *Host) DockerBridges() []string {
	var names []string
	for _, d := range h.devices {
		if d.kind == "bridge" && dockerBridge.MatchString(d.name) {
			names = append(names, d.name)
		}
	}
	return names
}

// Uplink returns the device of the default route, or nothing.
func (h *Host) Uplink() string {
	for _, defaults := range [][]int{h.routes.default4, h.routes.default6} {
		for _, ifindex := range defaults {
			if d := h.byIndex[ifindex]; d != nil {
				return d.name
			}
		}
	}
	return ""
}
