// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"strconv"

	"github.com/xfwd/xfwd/internal/maps"
)

// Values of rp_filter.
const (
	filtersStrictly = 1
	filtersLoosely  = 2
)

// sourceFilters are those of the devices of the current namespace, by ifindex. A sysctl that cannot be
// read filters nothing, such as that of a device which has just gone.
func sourceFilters(devices []*device) map[int]maps.SourceFilter {
	filters := make(map[int]maps.SourceFilter)
	all, allByMark := readIPv4Setting("all", "rp_filter"), readIPv4Setting("all", "src_valid_mark")
	for _, d := range devices {
		switch max(all, readIPv4Setting(d.name, "rp_filter")) {
		case filtersStrictly:
			filters[d.ifindex] = maps.FilterStrictly
			// Then the kernel asks for the way back with a mark that netfilter gives, which the programs do not know.
			if max(allByMark, readIPv4Setting(d.name, "src_valid_mark")) != 0 {
				filters[d.ifindex] = maps.FilterLoosely
			}
		case filtersLoosely:
			filters[d.ifindex] = maps.FilterLoosely
		}
	}
	return filters
}

// readIPv4Setting reads a number that IPv4 has for a device.
func readIPv4Setting(device, setting string) int {
	value, err := readSysctl("net.ipv4.conf."+dotsAndSlashes.Replace(device)+"."+setting, shortSysctl)
	if err != nil {
		return 0
	}
	number, err := strconv.Atoi(value)
	if err != nil {
		return 0
	}
	return number
}
