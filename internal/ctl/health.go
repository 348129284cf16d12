// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"maps"

	"github.com/xfwd/xfwd/internal/loader"
)

// BackendHealth is what is known of a backend of a forward.
type BackendHealth struct {
	Frontend Frontend
	// Backend is as the forward has it; it counts where it is.
	Backend Backend
	Health  Health
}

// SetHealth records what checks have found out, in one step: a packet and a reader
// see all of it or nothing. It returns what was new. Nothing is recorded of backends
// that are gone meanwhile, nor of those of forwards that have no check any more. Unlike
// Update it leaves alone what is attached, and what is known of the host.
func (i *Instance) SetHealth(ctx context.Context, found []BackendHealth) (recorded []BackendHealth, err error) {
	if loaded, err := i.Loaded(ctx); err != nil || !loaded {
		return nil, err
	}
	err = i.during(ctx, i.loader.Write, func(d *loader.Dataplane) error {
		before, err := readState(d)
		if err != nil {
			return err
		}
		have := before.forwards()
		var want []Forward
		if want, recorded = withHealth(have, found); len(recorded) == 0 {
			return nil
		}
		p := &plan{before: before}
		if p.host, err = i.loader.Host(); err != nil {
			return classify(err)
		}
		if err := learnRoutes(p.host, before, want); err != nil {
			return classify(err)
		}
		p.report.Added, p.report.Removed, p.report.Changed, p.report.Kept = Difference(have, want)
		_, err = carryOut(d, p, ExistingKeep)
		return err
	})
	if err != nil {
		return nil, err
	}
	return recorded, nil
}

// withHealth returns the forwards with what was found out, and what of it is new.
func withHealth(have []Forward, found []BackendHealth) (want []Forward, recorded []BackendHealth) {
	about := make(map[frontendKey][]BackendHealth)
	for _, h := range found {
		key := h.Frontend.key()
		about[key] = append(about[key], h)
	}
	for _, f := range have {
		news := about[f.Frontend.key()]
		if len(news) > 0 && f.Check != (Check{}) {
			f = f.Canonical()
			for _, h := range news {
				if n := f.indexBackend(h.Backend); n >= 0 && f.Backends[n].Health != h.Health {
					f.Backends[n].Health = h.Health
					recorded = append(recorded, h)
				}
			}
		}
		want = append(want, f)
	}
	return want, recorded
}

// keepHealth returns the forwards that shall be with the health that is known of their
// backends: whoever changes forwards does not speak of it. Without a check there is none.
func keepHealth(have, want []Forward) []Forward {
	known := make(map[frontendKey]map[backendKey]Health)
	for _, f := range have {
		if f.Check != (Check{}) {
			known[f.Frontend.key()] = f.healths()
		}
	}
	kept := make([]Forward, len(want))
	for n, f := range want {
		f = f.Canonical()
		var healths map[backendKey]Health
		if f.Check != (Check{}) {
			healths = known[f.Frontend.key()]
		}
		for i, b := range f.Backends {
			f.Backends[i].Health = healths[b.key()]
		}
		kept[n] = f
	}
	return kept
}

// healths returns what is known of the backends.
func (f Forward) healths() map[backendKey]Health {
	healths := make(map[backendKey]Health)
	for _, b := range f.Backends {
		if b.Health != "" {
			healths[b.key()] = b.Health
		}
	}
	return healths
}

// sameHealth says whether the backends of two forwards that are equal have the same
// health.
func (f Forward) sameHealth(o Forward) bool { return maps.Equal(f.healths(), o.healths()) }
