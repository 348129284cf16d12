// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/xfwd/xfwd/internal/loader"
)

// serviceNotes says of new forwards without an address that they leave out the
// addresses of services, in one line.
func serviceNotes(host *loader.Host, added []Forward) []string {
	i := slices.IndexFunc(added, func(f Forward) bool { return !f.Frontend.Address.IsValid() })
	services := host.Services()
	if i < 0 || len(services) == 0 {
		return nil
	}
	devices := slices.Sorted(maps.Keys(services))
	var all []netip.Addr
	for _, device := range devices {
		all = append(all, services[device]...)
	}
	example := all[0].String()
	if more := len(all) - 1; more > 0 {
		example += fmt.Sprintf(" and %d more", more)
	}
	named := added[i].Frontend
	named.Address = all[0]
	return []string{fmt.Sprintf("a forward without an address leaves out the addresses of services on %s (%s): `xfwd add %s BACKEND` takes one",
		strings.Join(devices, ", "), example, named)}
}
