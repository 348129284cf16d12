// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// follower keeps a dataplane up to date with a host that changes. It remembers the host as
// it was last seen and what of it the forwards depend on, so that a change costs what has
// changed. What it cannot follow in this way, it leaves to a look at the host as a whole.
type follower struct {
	instance *Instance
	// last is nil before the first look at the host as a whole, and after a failure.
	last *lookout
}

// lookout is what a look at the host as a whole has left: the host, and what of it the
// forwards of an epoch depend on.
type lookout struct {
	host *loader.Host
	// epoch and dataplane tell whether somebody else has changed the forwards since.
	epoch     uint64
	dataplane uint32
	// places are the words for devices that forwards are bound to, with what they meant.
	places map[deviceWord]deviceMeaning
	// frontends are the addresses of frontends: who asks a backend of this host whether it
	// is alive asks there, if they are the host's. Addresses to masquerade with are there, too.
	frontends map[netip.Addr]bool
	// backends are the addresses of backends, with what their source was decided to be.
	backends map[netip.Addr][]sourceDecision
	// hooks are those of each device, by ifindex, and of the sockets, at 0.
	hooks map[int][]loader.Hook
}

// sourceDecision is which source a backend sees, and what its user asked for.
type sourceDecision struct {
	asked   maps.Source
	source  maps.BackendSource
	address netip.Addr
}

// newLookout notes what forwards depend on, after a transaction.
func newLookout(d *loader.Dataplane, t *transaction, hooks []loader.Hook) (*lookout, error) {
	id, err := d.Maps.ID()
	if err != nil {
		return nil, err
	}
	l := &lookout{
		host:      t.host,
		epoch:     t.after.epoch,
		dataplane: id,
		places:    make(map[deviceWord]deviceMeaning),
		frontends: make(map[netip.Addr]bool),
		backends:  make(map[netip.Addr][]sourceDecision),
		hooks:     make(map[int][]loader.Hook),
	}
	for _, k := range t.after.all {
		l.frontends[k.Address] = true
		for _, a := range k.SourceAddresses {
			l.frontends[a] = true
		}
		for i, word := range k.Devices {
			w := deviceWord{word: word}
			if i < len(k.Known) {
				w.known = k.Known[i]
			}
			if _, found := l.places[w]; !found {
				l.places[w] = w.on(&t.host.Devices)
			}
		}
	}
	for _, b := range t.after.backends {
		if !b.Address.IsValid() {
			continue
		}
		asked := t.after.all[b.info.Forward].Source
		if !slices.ContainsFunc(l.backends[b.Address], func(s sourceDecision) bool { return s.asked == asked }) {
			l.backends[b.Address] = append(l.backends[b.Address], decideSource(t.host, asked, b.Address))
		}
	}
	for _, h := range hooks {
		ifindex, _ := t.host.Ifindex(h.Device)
		l.hooks[ifindex] = append(l.hooks[ifindex], h)
	}
	return l, nil
}

func decideSource(host *loader.Host, asked maps.Source, address netip.Addr) sourceDecision {
	source, masquerade := sourceOf(host, asked, address)
	return sourceDecision{asked, source, masquerade}
}

// dependsOn says whether the forwards have to be written anew for a host that has changed.
func (l *lookout) dependsOn(host *loader.Host) (bool, error) {
	for word, was := range l.places {
		if !word.on(&host.Devices).equal(was) {
			return true, nil
		}
	}
	for _, differing := range [][]netip.Addr{host.AddressesUnlike(l.host), l.host.AddressesUnlike(host)} {
		for _, a := range differing {
			if l.frontends[a] || len(l.backends[a]) > 0 {
				return true, nil
			}
		}
	}
	for _, p := range slices.Concat(host.PrefixesUnlike(l.host), l.host.PrefixesUnlike(host)) {
		for a := range l.frontends {
			if p.Contains(a) {
				return true, nil
			}
		}
		for a := range l.backends {
			if p.Contains(a) {
				return true, nil
			}
		}
	}
	var touched []netip.Addr
	for a := range l.backends {
		if elsewhere(host, a) && !host.Knows(a) {
			touched = append(touched, a)
		}
	}
	if err := host.Learn(touched); err != nil {
		return false, classify(err)
	}
	for _, a := range touched {
		for _, was := range l.backends[a] {
			if decideSource(host, was.asked, a) != was {
				return true, nil
			}
		}
	}
	return false, nil
}

// touchedBy says whether a change that is about routes alone may concern a backend, or the
// way of its answers.
func (l *lookout) touchedBy(c loader.Change) bool {
	for a := range l.backends {
		if elsewhere(l.host, a) && (l.host.TouchesMarks(c) || l.host.Touches(c, a)) {
			return true
		}
	}
	return false
}

// isComplete says whether everything is as a look at the host as a whole would leave it:
// no hook is missing, the kernel's maps have what they should have, and no command has
// changed the forwards since. What cannot be read is not ours to mend.
func (f *follower) isComplete(ctx context.Context) bool {
	complete := true
	_ = f.instance.read(ctx, func(d *loader.Dataplane) error {
		hooks, err := d.Hooks()
		if err != nil {
			return err
		}
		complete = f.last != nil && f.last.epoch == d.Settings.Epoch &&
			!slices.ContainsFunc(hooks, func(h loader.Hook) bool { return h.Missing })
		if !complete {
			return nil
		}
		host, err := f.instance.loader.Host()
		if err != nil {
			return err
		}
		if complete, err = d.KnowsHost(host); !complete || err != nil {
			return err
		}
		depends, err := f.last.dependsOn(host)
		complete = !depends
		return err
	})
	return complete
}

// heed does what a change asks for.
func (f *follower) heed(ctx context.Context, c loader.Change, w Watcher) error {
	begin := time.Now()
	if f.last == nil && c.HasHost() || c.Everything {
		return f.reconcile(ctx, w)
	}
	if !c.HasHost() {
		if !c.NextHops {
			return nil
		}
		if f.last == nil || !f.last.touchedBy(c) {
			err := f.instance.EndNextHops(ctx)
			w.NextHopsEnded(err)
			return err
		}
	}
	hooks, err := f.follow(ctx, c)
	switch {
	case errors.Is(err, loader.ErrWhole):
		return f.reconcile(ctx, w)
	case err != nil:
		f.last = nil
	}
	if c.HasHost() {
		w.Followed(time.Since(begin), Report{Warnings: hookWarnings(hooks)}, err)
	} else {
		w.NextHopsEnded(err)
	}
	return err
}

// reconcile looks at the host as a whole.
func (f *follower) reconcile(ctx context.Context, w Watcher) error {
	begin := time.Now()
	r, l, err := f.instance.reconcile(ctx)
	f.last = l
	w.Reconciled(time.Since(begin), r, err)
	return err
}

// follow brings the dataplane to the host as it is after a change, and returns all hooks.
// The error is loader.ErrWhole, and nothing is done, if more depends on the change than
// devices and addresses.
func (f *follower) follow(ctx context.Context, c loader.Change) (all []loader.Hook, err error) {
	if loaded, err := f.instance.loader.Loaded(ctx); err != nil || !loaded {
		f.last = nil
		return nil, classify(err)
	}
	session, err := f.instance.loader.Write(ctx)
	if err != nil {
		return nil, classify(err)
	}
	defer session.Close()
	d, err := session.OpenPart(true)
	if errors.Is(err, loader.ErrNotLoaded) {
		f.last = nil
		return nil, nil
	}
	if err != nil {
		return nil, classify(err)
	}
	defer d.Close()
	last := f.last
	if id, err := d.Maps.ID(); err != nil || id != last.dataplane || d.Settings.Epoch != last.epoch {
		return nil, errors.Join(loader.ErrWhole, err)
	}
	host, err := f.instance.loader.Follow(last.host, c)
	if err != nil {
		return nil, classify(err)
	}
	if depends, err := last.dependsOn(host); err != nil || depends {
		return nil, errors.Join(loader.ErrWhole, err)
	}
	hooks, err := d.FollowTo(last.host, host, c)
	if err != nil {
		return nil, classify(err)
	}
	last.host = host
	for ifindex := range last.hooks {
		if ifindex != 0 && !host.HasDevice(ifindex) {
			delete(last.hooks, ifindex)
		}
	}
	for ifindex, of := range hooks {
		last.hooks[ifindex] = of
	}
	return last.allHooks(), nil
}

// allHooks returns the hooks of all devices, by ifindex, then those of the sockets.
func (l *lookout) allHooks() []loader.Hook {
	var ifindexes []int
	for ifindex := range l.hooks {
		if ifindex != 0 {
			ifindexes = append(ifindexes, ifindex)
		}
	}
	slices.Sort(ifindexes)
	var all []loader.Hook
	for _, ifindex := range append(ifindexes, 0) {
		all = append(all, l.hooks[ifindex]...)
	}
	return all
}
