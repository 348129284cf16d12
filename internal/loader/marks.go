// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// A host with several uplinks usually has a routing table for each, rules that
// choose it by a mark, and netfilter, which gives the mark of the uplink that a
// connection came by to its answers (CONNMARK). Netfilter does not see packets that
// leave again, so the mark is derived from the rules: it is that of the device
// which a rule's table leads to.

// marks is what routing rules say of marks.
type marks struct {
	// byDevice are the marks that lead to devices, by ifindex.
	byDevice map[int]maps.Mark
	// told are the rules of these, and unknown the rules whose marks lead to no
	// device: words for the user.
	told, unknown []string
}

// listMarks reads the routing rules of the current namespace.
func listMarks(routes *routes, devices []*device) (*marks, error) {
	m := &marks{byDevice: make(map[int]maps.Mark)}
	names := make(map[int]string, len(devices))
	for _, d := range devices {
		names[d.ifindex] = d.name
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		var rules []netlink.Rule
		err := dump("routing rules", func() (err error) {
			rules, err = netlink.RuleList(family)
			return err
		})
		if err != nil {
			return nil, err
		}
		slices.SortStableFunc(rules, func(a, b netlink.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
		for _, rule := range rules {
			m.note(rule, routes.of(family), names)
		}
	}
	return m, nil
}

// note notes what a rule says. Rules that lead to the main table, or nowhere, are
// about marks which programs give to what they send themselves.
func (m *marks) note(rule netlink.Rule, routes *familyRoutes, names map[int]string) {
	mark := maps.Mark{Value: rule.Mark, Mask: ^uint32(0)}
	if rule.Mask != nil {
		mark.Mask = *rule.Mask
	}
	// A packet without a mark matches what asks for none.
	if rule.Invert || mark.Value&mark.Mask == 0 {
		return
	}
	switch rule.Table {
	case unix.RT_TABLE_MAIN, unix.RT_TABLE_DEFAULT, unix.RT_TABLE_LOCAL:
		return
	}
	hops := routes.tables[rule.Table].leadsTo()
	unmarked := routes.tables[unix.RT_TABLE_MAIN].leadsTo()
	// What has no mark goes the same way.
	if len(hops) == 0 || slices.Equal(hops, unmarked) {
		return
	}
	led := false
	for _, hop := range hops {
		name, found := names[hop.ifindex]
		mark.Ifindex = uint32(hop.ifindex)
		have, has := m.byDevice[hop.ifindex]
		switch {
		case !found, has && have != mark:
			continue
		// By that device alone packets leave without a mark, by another router, and
		// nothing tells which of its packets are meant.
		case !has && len(unmarked) == 1 && unmarked[0].ifindex == hop.ifindex:
			continue
		}
		led = true
		m.byDevice[hop.ifindex] = mark
		said := fmt.Sprintf("%s: answers to what came by %s are routed by it", ruleLabel(rule, mark), name)
		if !slices.Contains(m.told, said) {
			m.told = append(m.told, said)
		}
	}
	if label := ruleLabel(rule, mark); !led && !slices.Contains(m.unknown, label) {
		m.unknown = append(m.unknown, label)
	}
}

// ruleLabel names a rule as `ip rule` does.
func ruleLabel(rule netlink.Rule, mark maps.Mark) string {
	value := fmt.Sprintf("%#x", mark.Value)
	if mark.Mask != ^uint32(0) {
		value += fmt.Sprintf("/%#x", mark.Mask)
	}
	return fmt.Sprintf("the routing rule %d, fwmark %s lookup %d", rule.Priority, value, rule.Table)
}

// nextRouter is where a route leads: a device, and a router there unless it is the
// zero Addr.
type nextRouter struct {
	ifindex int
	gateway netip.Addr
}

// tableRoutes are the routes of one table that lead to other networks.
type tableRoutes struct {
	// best are those of the default route with the lowest metric, others those by
	// a gateway.
	best   []nextRouter
	metric int
	others []nextRouter
}

// leadsTo is where the table leads: its default route, or if it has none, its routes
// by a gateway. A table that has neither leads nowhere.
func (t *tableRoutes) leadsTo() []nextRouter {
	switch {
	case t == nil:
		return nil
	case len(t.best) > 0:
		return t.best
	}
	return t.others
}

func (t *tableRoutes) note(hop nextRouter, isDefault bool, metric int) {
	switch {
	case !isDefault:
		if hop.gateway.IsValid() && !slices.Contains(t.others, hop) {
			t.others = append(t.others, hop)
		}
	case len(t.best) == 0 || metric < t.metric:
		t.best, t.metric = []nextRouter{hop}, metric
	case metric == t.metric && !slices.Contains(t.best, hop):
		t.best = append(t.best, hop)
	}
}

// MarkNotes says which routing rules by marks xfwd follows for answers.
func (h *Host) MarkNotes() []string { return h.marks.told }

// MarkWarnings says which routing rules by marks it cannot follow.
func (h *Host) MarkWarnings() []string {
	var warnings []string
	for _, label := range h.marks.unknown {
		warnings = append(warnings, label+", is not followed: packets that leave again have no mark of netfilter's; "+
			"a rule by address, port or device (`ip rule add from ADDRESS`) is followed")
	}
	return warnings
}
