// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"slices"

	"github.com/vishvananda/netlink"
)

// IngressFilters names the devices on which we serve packets and others have filters of
// tc at ingress, such as those that shape by way of an ifb or police. Programs are not
// counted among them. What cannot be read has none.
func (h *Host) IngressFilters() []string {
	var names []string
	_ = h.namespace.Do(func() error {
		qdiscs, err := netlink.QdiscList(nil)
		if err != nil {
			return err
		}
		for _, q := range qdiscs {
			d := h.byIndex[q.Attrs().LinkIndex]
			if d == nil || d.skip != "" || slices.Contains(names, d.name) || q.Type() != "ingress" && q.Type() != "clsact" {
				continue
			}
			filters, err := listFilters(d.ifindex, ingress)
			if err == nil && slices.ContainsFunc(filters, func(f netlink.Filter) bool { return f.Type() != "bpf" }) {
				names = append(names, d.name)
			}
		}
		return nil
	})
	slices.Sort(names)
	return names
}
