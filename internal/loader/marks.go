// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"cmp"
	"errors"
	"fmt"
	gomaps "maps"
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

// newMarks computes what the rules of a namespace say.
func newMarks(all rules, devices []*device) *marks {
	m := &marks{byDevice: make(map[int]maps.Mark)}
	names := make(map[int]string, len(devices))
	for _, d := range devices {
		names[d.ifindex] = d.name
	}
	for _, of := range all {
		for _, rule := range of.byMark {
			m.note(rule, of.tables, names)
		}
	}
	return m
}

// all are the marks of all devices.
func (m *marks) all() []maps.Mark { return slices.Collect(gomaps.Values(m.byDevice)) }

// rules are the rules by marks of each family, in the order of families, and where they
// lead.
type rules []familyRules

// familyRules are those of one family.
type familyRules struct {
	// byMark are the rules, by priority.
	byMark []netlink.Rule
	// tables are the main table, by its default routes, and those that the rules name, by
	// number.
	tables map[int]*tableRoutes
}

// listRules reads the routing rules by marks of the current namespace.
func listRules() (rules, error) {
	all := make(rules, len(families))
	for i, family := range families {
		var list []netlink.Rule
		err := dump("routing rules", func() (err error) {
			list, err = netlink.RuleList(int(family))
			return err
		})
		// The kernel does not have the family.
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = slices.DeleteFunc(list, func(rule netlink.Rule) bool { return !leadsByMark(rule) })
		slices.SortStableFunc(list, func(a, b netlink.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
		all[i].byMark = list
	}
	return all.again()
}

// again returns the same rules, with the routes that they lead to read anew.
func (all rules) again() (rules, error) {
	again := make(rules, len(all))
	for i, of := range all {
		again[i].byMark = of.byMark
		if len(of.byMark) == 0 {
			continue
		}
		tables := map[int]*tableRoutes{unix.RT_TABLE_MAIN: new(tableRoutes)}
		again[i].tables = tables
		defaults, err := defaultRoutes(families[i])
		if err != nil {
			return nil, err
		}
		for _, route := range defaults {
			if route.Type != unix.RTN_UNICAST {
				continue
			}
			tables[unix.RT_TABLE_MAIN].add(route)
		}
		for _, rule := range of.byMark {
			if tables[rule.Table] != nil {
				continue
			}
			table := new(tableRoutes)
			tables[rule.Table] = table
			err := dumpRoutes(families[i], rule.Table, 0, func(route netlink.Route) bool {
				table.add(route)
				// IPv4 lists its default routes first.
				return families[i] == unix.AF_INET6 || isDefault(route) || len(table.best) == 0
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return again, nil
}

// any says whether there are rules by marks.
func (all rules) any() bool {
	return slices.ContainsFunc(all, func(of familyRules) bool { return len(of.byMark) > 0 })
}

// touchedBy says whether a change is about routes that rules by marks lead to.
func (all rules) touchedBy(c Change) bool {
	if !all.any() {
		return c.rules
	}
	return c.rules || c.defaults || slices.ContainsFunc(all, func(of familyRules) bool {
		for table := range of.tables {
			if table != unix.RT_TABLE_MAIN && c.tables[table] {
				return true
			}
		}
		return false
	})
}

// markOf is the mark that a rule asks for.
func markOf(rule netlink.Rule) maps.Mark {
	mark := maps.Mark{Value: rule.Mark, Mask: ^uint32(0)}
	if rule.Mask != nil {
		mark.Mask = *rule.Mask
	}
	return mark
}

// leadsByMark says whether a rule leads to a table of its own by a mark. Rules that lead to
// the main table, or nowhere, are about marks which programs give to what they send
// themselves.
func leadsByMark(rule netlink.Rule) bool {
	mark := markOf(rule)
	// A packet without a mark matches what asks for none.
	if rule.Invert || mark.Value&mark.Mask == 0 {
		return false
	}
	switch rule.Table {
	case unix.RT_TABLE_UNSPEC, unix.RT_TABLE_MAIN, unix.RT_TABLE_DEFAULT, unix.RT_TABLE_LOCAL:
		return false
	}
	return true
}

// note notes what a rule says.
func (m *marks) note(rule netlink.Rule, tables map[int]*tableRoutes, names map[int]string) {
	mark := markOf(rule)
	hops := tables[rule.Table].leadsTo()
	unmarked := tables[unix.RT_TABLE_MAIN].leadsTo()
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

// add adds a route of the table.
func (t *tableRoutes) add(route netlink.Route) {
	if route.Type != unix.RTN_UNICAST {
		return
	}
	for _, hop := range hopsOf(route) {
		gateway := gatewayOf(netlink.Route{Gw: hop.Gw, Via: hop.Via})
		t.note(nextRouter{hop.LinkIndex, gateway}, isDefault(route), route.Priority)
	}
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
