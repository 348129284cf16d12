// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"errors"
	"net/netip"
	"syscall"

	"github.com/xfwd/xfwd/internal/loader"
)

// Revision tells one state of the forwards from another. The zero value is that
// nothing is loaded.
type Revision struct {
	// Dataplane is the kernel's number of it.
	Dataplane uint32
	Epoch     uint64
	// Primary4 and Primary6 are the host's own addresses, where it is asked itself.
	Primary4, Primary6 netip.Addr
}

// CheckedBackend is a backend of a forward that has a check.
type CheckedBackend struct {
	BackendHealth
	Check Check
	// Targets are where it may answer; that one does is enough.
	Targets []netip.AddrPort
}

// Checked returns the backends that are to be checked, if the forwards or the host's
// addresses are, or may be, others than at the revision. Otherwise it costs next to
// nothing.
func (i *Instance) Checked(ctx context.Context, since Revision) (backends []CheckedBackend, now Revision, err error) {
	if now, err = i.revision(ctx); err != nil || now == since {
		return nil, now, err
	}
	err = i.read(ctx, func(d *loader.Dataplane) error {
		if now, err = revisionOf(d); err != nil {
			return err
		}
		s, err := readState(d)
		if err != nil {
			return err
		}
		host, err := i.loader.Host()
		if err != nil {
			return classify(err)
		}
		for _, f := range s.forwards() {
			if f.Check == (Check{}) {
				continue
			}
			for _, b := range f.Backends {
				backends = append(backends, CheckedBackend{
					BackendHealth: BackendHealth{Frontend: f.Frontend, Backend: b, Health: b.Health},
					Check:         f.Check,
					Targets:       checkTargets(host, f, b),
				})
			}
		}
		return nil
	})
	return backends, now, err
}

// revision reads no more than a dataplane's settings. It is zero if none is loaded.
func (i *Instance) revision(ctx context.Context) (Revision, error) {
	session, err := i.loader.Read(ctx)
	if err != nil {
		return Revision{}, classify(err)
	}
	defer session.Close()
	d, err := session.OpenPart(false)
	if errors.Is(err, loader.ErrNotLoaded) {
		return Revision{}, nil
	}
	if err != nil {
		return Revision{}, classify(err)
	}
	defer d.Close()
	return revisionOf(d)
}

func revisionOf(d *loader.Dataplane) (Revision, error) {
	id, err := d.Maps.ID()
	return Revision{id, d.Settings.Epoch, d.Settings.Primary4, d.Settings.Primary6}, err
}

// checkTargets returns where a backend is looked for. On this host it answers where
// packets of clients go: at the frontend's address, or else at the host's own. Loopback
// comes last, for there are programs on it that serve this host alone, and translators
// such as a NodePort which do not serve it.
func checkTargets(host *loader.Host, f Forward, b Backend) []netip.AddrPort {
	var addresses []netip.Addr
	switch frontend := f.Frontend.Address; {
	case b.Address.IsValid():
		addresses = []netip.Addr{b.Address}
	case frontend.IsValid() && host.HasAddress(frontend):
		addresses = []netip.Addr{frontend}
	case frontend.IsValid():
		addresses = []netip.Addr{host.Address(frontend.Is6())}
	default:
		addresses = []netip.Addr{host.Address(false), host.Address(true), netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	port := f.Check.Port
	if port == 0 {
		port = b.Ports.First
	}
	var targets []netip.AddrPort
	for _, a := range addresses {
		if a.IsValid() {
			targets = append(targets, netip.AddrPortFrom(a, port))
		}
	}
	return targets
}

// ErrNoSocket is the error of ReplaceSocket, which says nothing about whom the socket was
// to reach.
var ErrNoSocket = loader.ErrNoSocket

// ReplaceSocket puts a socket of the network namespace in the place of one that has no
// address yet, as a net.Dialer's Control has it, so that checks are made from there.
func (i *Instance) ReplaceSocket(c syscall.RawConn) error { return i.loader.ReplaceSocket(c) }
