// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// Update makes the forwards what change returns, in one step: a packet and a
// reader see all of it or nothing. Forwards that stay keep their flows and
// counters; those that have expired are deleted. It loads the dataplane when that is
// needed.
func (i *Instance) Update(ctx context.Context, change Change, o UpdateOptions) (Report, error) {
	r, _, err := i.update(ctx, change, o)
	return r, err
}

// update is Update, and returns what changes of the host are followed from; nothing if no
// dataplane is loaded.
func (i *Instance) update(ctx context.Context, change Change, o UpdateOptions) (Report, *lookout, error) {
	begin := i.loader.Write
	if o.DryRun {
		begin = i.loader.Read
	}
	session, err := begin(ctx)
	if err != nil {
		return Report{}, nil, classify(err)
	}
	defer session.Close()
	d, err := session.Open()
	if err != nil && !errors.Is(err, loader.ErrNotLoaded) {
		return Report{}, nil, classify(err)
	}
	if d != nil {
		defer func() { d.Close() }()
	}
	p, err := i.plan(d, change)
	if err == nil && d == nil && len(p.report.Added) > 0 {
		// What is loaded was refused if it had to be: the kernel is the same since.
		err = classify(loader.CheckKernel())
	}
	if err != nil || o.DryRun {
		return p.report, nil, err
	}
	if d == nil {
		if len(p.report.Added) == 0 {
			return p.report, nil, nil
		}
		if d, err = session.Load(i.maxFlows); err != nil {
			return Report{}, nil, classify(err)
		}
		defer func() { d.Close() }()
		p.report.Loaded = true
	}
	listeners := i.loader.Listeners()
	hooks, t, err := put(d, p, listeners, o)
	if err != nil {
		if p.report.Loaded {
			err = errors.Join(err, session.Unload())
		}
		return Report{}, nil, classify(err)
	}
	p.report.Warnings = append(hookWarnings(hooks), p.report.Warnings...)
	p.report.Notes = append(p.report.Notes, ownNotes(p.host, listeners, p.report.Added)...)
	p.report.Warnings = append(p.report.Warnings, newForwardWarnings(p.host, listeners, p.report.Added)...)
	p.report.Warnings = append(p.report.Warnings, answerWarnings(p.host, listeners, newFrontendIndex(p.want), p.targets)...)
	l, err := newLookout(d, t, hooks)
	return p.report, l, err
}

// plan is a change that this host can do.
type plan struct {
	report Report
	host   *loader.Host
	before *state
	// targets are the backends that are new to their forwards.
	targets []target
	// want are the forwards that there shall be.
	want []Forward
	// leaves is set if some packets leave this host again.
	leaves bool
	// followsRules is set if rules of netfilter say how some of these are changed.
	followsRules bool
	// published are the ports of frontends that sockets of this host shall not get.
	published []maps.PortRange
}

// plan computes what a change means and checks that this host can do it. d is nil
// if nothing is loaded.
func (i *Instance) plan(d *loader.Dataplane, change Change) (*plan, error) {
	p := &plan{before: newState(0)}
	var err error
	if d != nil {
		if p.before, err = readState(d); err != nil {
			return p, err
		}
	}
	have := p.before.forwards()
	want, err := change(have)
	if err != nil {
		return p, err
	}
	want = keepHealth(have, want)
	if p.host, err = i.loader.Host(); err != nil {
		return p, classify(err)
	}
	if err := learnRoutes(p.host, p.before, want); err != nil {
		return p, classify(err)
	}
	r := Report{Expired: p.before.known(p.before.expired()), Renamed: renameNotes(p.before)}
	r.Added, r.Removed, r.Changed, r.Kept = Difference(have, want)
	if err := checkCapacity(len(want)); err != nil {
		return p, err
	}
	for _, forwards := range [][]Forward{r.Added, r.Changed} {
		for _, f := range forwards {
			if err := checkHost(p.host, f); err != nil {
				return p, err
			}
		}
	}
	for _, f := range r.Added {
		if err := checkOwnAddresses(p.host, f); err != nil {
			return p, err
		}
	}
	if err := checkClaims(&p.host.Devices, want, r.Added); err != nil {
		return p, err
	}
	if d != nil && i.maxFlows != 0 && i.maxFlows != d.Settings.MaxFlows {
		return p, Errorf(ErrConflict, "the flow table is made for %d flows and cannot be resized; `xfwd save`, `xfwd unload`, then `xfwd restore --max-flows %d`",
			d.Settings.MaxFlows, i.maxFlows)
	}
	p.targets = newTargets(have, r)
	p.want = want
	p.leaves = anyElsewhere(p.host, want)
	p.followsRules = slices.ContainsFunc(allTargets(want), func(t target) bool { return t.clampsAsNetfilter(p.host) })
	r.Notes = append(expiryNotes(r.Expired), r.Renamed...)
	r.Notes = append(r.Notes, sourceNotes(p.host, p.targets)...)
	r.SourceChanges = sourceChanges(p.host, p.before, slices.Concat(r.Kept, r.Changed))
	r.Notes = append(r.Notes, r.SourceChanges...)
	r.Notes = append(r.Notes, markNotes(p.host, p.targets)...)
	r.Notes = append(r.Notes, serviceNotes(p.host, r.Added)...)
	r.Notes = append(r.Notes, mssNotes(p.host, p.targets)...)
	r.Notes = append(r.Notes, surprises(p.host, want, r.Added, p.targets)...)
	r.Warnings = append(routeWarnings(p.host, p.targets), mssWarnings(p.host, p.targets)...)
	r.Warnings = append(r.Warnings, shapingWarnings(p.host, p.targets)...)
	var shared []string
	p.published, shared = publishedPorts(p.host.Ephemeral(), want, r.Added)
	r.Warnings = append(r.Warnings, shared...)
	p.report = r
	return p, nil
}

// learnRoutes asks for the routes to all backends at once, those that go included.
func learnRoutes(host *loader.Host, before *state, want []Forward) error {
	var addresses []netip.Addr
	for _, b := range before.backends {
		if elsewhere(host, b.Address) {
			addresses = append(addresses, b.Address)
		}
	}
	for _, f := range want {
		for _, b := range f.Backends {
			if elsewhere(host, b.Address) {
				addresses = append(addresses, b.Address)
			}
		}
	}
	return host.Learn(addresses)
}

// anyElsewhere says whether some backend is not this host.
func anyElsewhere(host *loader.Host, forwards []Forward) bool {
	for _, f := range forwards {
		for _, b := range f.Backends {
			if elsewhere(host, b.Address) {
				return true
			}
		}
	}
	return false
}

// put brings the dataplane up to date with this command and the host, then makes
// the change.
func put(d *loader.Dataplane, p *plan, listeners *loader.Listeners, o UpdateOptions) ([]loader.Hook, *transaction, error) {
	hooks, err := catchUp(d, p, o)
	if err != nil {
		return nil, nil, err
	}
	if err := d.TellListeners(listeners); err != nil {
		return nil, nil, err
	}
	t, err := carryOut(d, p, o.Existing)
	if err != nil {
		return nil, nil, err
	}
	if err := d.ReservePorts(p.reservedPorts(d, t.leaves())); err != nil {
		return nil, nil, err
	}
	return hooks, t, nil
}

// carryOut makes the change itself.
func carryOut(d *loader.Dataplane, p *plan, existing Existing) (*transaction, error) {
	t, err := prepare(d, p)
	if err != nil {
		return nil, err
	}
	if err := t.keepConversations(); err != nil {
		return nil, err
	}
	if err := t.commit(); err != nil {
		return nil, err
	}
	return t, t.settle(existing)
}

// catchUp makes the dataplane that of this command, on the host as it is now.
func catchUp(d *loader.Dataplane, p *plan, o UpdateOptions) ([]loader.Hook, error) {
	if !o.KeepPrograms {
		if err := d.Upgrade(); err != nil {
			return nil, err
		}
	}
	if err := d.SetXDP(o.XDP); err != nil {
		return nil, err
	}
	if p.leaves {
		if err := d.UseXDP(); err != nil {
			return nil, err
		}
	}
	if err := d.ReservePorts(p.reservedPorts(d, p.leaves || leaves(p.host, p.before))); err != nil {
		return nil, err
	}
	hooks, err := d.AttachTo(p.host)
	if err != nil {
		return nil, err
	}
	if err := d.Tell(p.host); err != nil {
		return nil, err
	}
	if p.followsRules {
		err = d.TellRules(p.host)
	}
	return hooks, err
}
