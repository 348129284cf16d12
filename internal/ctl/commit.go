// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"net/netip"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// transaction is a change of the forwards on its way into the kernel. It is
// prepared for the next epoch, in which nobody lives yet; one store makes that the
// current one; then what is dead is cleared away. A command that is killed at any
// of these points leaves something that the next one's transaction removes.
type transaction struct {
	d    *loader.Dataplane
	host *loader.Host
	// before is what the kernel held, after what it holds once committed.
	before, after *state
	draft         draft
	// slots are what slots hold that the change may take, tables the keys of all
	// tables, those of the draft included.
	slots  []maps.Backend
	tables map[uint32]bool
	// The ids that were given last; 0 is none.
	lastForward, lastBackend, lastTable uint32
	// frontendsPut and knownPut are what this transaction has written, if it has.
	frontendsPut *maps.FrontendTable
	knownPut     maps.KnownAddresses
	// recount is set if connections must be counted anew.
	recount bool
}

// prepare writes everything that the change needs, without effect on packets
// and readers.
func prepare(d *loader.Dataplane, p *plan) (*transaction, error) {
	t := &transaction{d: d, host: p.host, before: p.before}
	if err := t.undo(); err != nil {
		return nil, err
	}
	t.after = t.before.next()
	if err := t.begin(p.report); err != nil {
		return nil, err
	}
	t.rememberDevices()
	if err := t.decide(p.report); err != nil {
		return nil, err
	}
	if err := t.draft.write(d.Maps); err != nil {
		return nil, err
	}
	return t, t.publish(t.before, t.after)
}

// undo takes back what a killed command has prepared and not committed.
func (t *transaction) undo() error {
	s := t.before
	var unused, unborn []uint32
	var infos []maps.BackendInfo
	var forwards []maps.Forward
	for id, b := range s.backends {
		switch {
		case b.info.Changed <= s.epoch:
		case b.info.Before.State == maps.BackendGone:
			unused = append(unused, id)
			s.remove(id)
		default:
			b.info.Changed, b.info.After = 0, b.info.Before
			infos = append(infos, b.info)
			s.put(b)
		}
	}
	for id, k := range s.all {
		switch {
		case k.Born > s.epoch:
			unborn = append(unborn, id)
			delete(s.all, id)
		case k.Changed > s.epoch:
			k.Changed, k.After = 0, k.Before
			forwards = append(forwards, k)
			s.all[id] = k
		}
	}
	if err := t.d.Maps.DeleteBackendInfos(unused); err != nil {
		return err
	}
	if err := t.d.Maps.PutBackendInfos(infos); err != nil {
		return err
	}
	if err := t.d.Maps.DeleteForwards(unborn); err != nil {
		return err
	}
	return t.d.Maps.PutForwards(forwards)
}

// commit makes the change take place.
func (t *transaction) commit() error {
	if err := t.d.Maps.Commit(t.after.epoch); err != nil {
		return err
	}
	t.d.Settings.Epoch = t.after.epoch
	return nil
}

// publish tells the programs what to look at for the forwards of these states, the
// second of which may be missing, and for the flows of what is gone in them.
func (t *transaction) publish(states ...*state) error {
	var tables [2][]maps.Frontend
	for i, s := range states {
		tables[i] = t.frontends(s)
	}
	frontends := maps.NewFrontendTable(tables[0], tables[1])
	if err := t.d.Maps.PutFrontends(frontends, t.frontendsPut); err != nil {
		return err
	}
	t.frontendsPut = &frontends
	if err := t.d.Maps.PutPorts(t.ports(states)); err != nil {
		return err
	}
	if err := t.d.Maps.PutGroupBackends(groupBackends(states)); err != nil {
		return err
	}
	if err := t.d.Maps.PutSourcePools(sourcePools(t.host, states)); err != nil {
		return err
	}
	backends, targets := t.backends(states)
	known := maps.NewKnownAddresses(t.host.LocalAddresses(), backends, targets)
	if err := t.d.Maps.PutKnownAddresses(known, t.knownPut); err != nil {
		return err
	}
	t.knownPut = known
	return nil
}

// frontends returns where the alive forwards of a state are looked up. A device
// that is not there now has none; the next command looks again.
func (t *transaction) frontends(s *state) []maps.Frontend {
	frontends := make([]maps.Frontend, 0, len(s.all))
	for _, k := range s.all {
		if len(k.Devices) == 0 && k.Alive(s.epoch) {
			frontends = append(frontends, frontendOf(k, 0))
		}
	}
	var claims []claim
	bound := s.bound()
	for i, k := range bound {
		claims = append(claims, claimsOf(&t.host.Devices, i, forwardFromKernel(k, k.Terms(s.epoch)).Frontend)...)
	}
	hold, _ := settleClaims(claims)
	for _, c := range hold {
		frontends = append(frontends, frontendOf(bound[c.owner], c.ifindex))
	}
	return frontends
}

// frontendOf is where a forward is looked up by what arrives on a device, or on any.
func frontendOf(k maps.Forward, ifindex int) maps.Frontend {
	return maps.Frontend{
		Forward:   k.ID,
		Protocol:  k.Protocol,
		Address:   k.Address,
		Ifindex:   uint32(ifindex),
		PortFirst: k.PortFirst,
		PortLast:  k.PortLast,
	}
}

// ports returns the table that serves all of these states.
func (t *transaction) ports(states []*state) *maps.PortTable {
	table := new(maps.PortTable)
	for _, s := range states {
		for _, f := range s.all {
			if f.Alive(s.epoch) {
				table.AddFrontend(f.Protocol, f.Address, len(f.Devices) > 0, f.PortFirst, f.PortLast)
			} else if f.Dies <= s.epoch {
				table.AddLingering(f.Protocol, f.PortFirst, f.PortLast)
			}
		}
		for _, b := range s.backends {
			protocol := s.all[b.info.Forward].Protocol
			table.AddTarget(protocol, elsewhere(t.host, b.Address), b.PortFirst, b.PortLast)
		}
	}
	return table
}

// backends returns the addresses of the backends of these states that are not this
// host, and those of them that see their clients' addresses. Clients of a backend
// that sees only ours can talk to it directly without being taken for others.
func (t *transaction) backends(states []*state) (all, targets []netip.Addr) {
	for _, s := range states {
		for _, b := range s.backends {
			if !elsewhere(t.host, b.Address) {
				continue
			}
			all = append(all, b.Address)
			if b.Source != maps.BackendMasquerades {
				targets = append(targets, b.Address)
			}
		}
	}
	return all, targets
}

// leaves says whether packets may leave this host again, of flows that live on too.
func (t *transaction) leaves() bool { return leaves(t.host, t.after) }

func leaves(host *loader.Host, s *state) bool {
	for _, b := range s.backends {
		if elsewhere(host, b.Address) {
			return true
		}
	}
	return false
}
