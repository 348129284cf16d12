// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"errors"

	"github.com/xfwd/xfwd/internal/loader"
)

// Options select the dataplane that an Instance acts on.
type Options struct {
	// Root is the directory on a BPF file system under which pins live.
	Root string
	// NetNS is the name (as of `ip netns`) or the path of a network
	// namespace; empty is the caller's.
	NetNS string
	// MaxFlows sizes the flow table when the dataplane must be loaded; zero
	// sizes it from memory.
	MaxFlows uint32
	// Progress is told, now and then, how much is done of what may take seconds. It may
	// be nil.
	Progress func(doing string, done, all int)
}

// Instance is the dataplane of one network namespace, loaded or not. Each method
// locks, opens and closes what it needs; no state is kept from call to call.
type Instance struct {
	loader   *loader.Loader
	maxFlows uint32
}

// Open resolves the network namespace and the pin directory. It loads nothing
// and changes nothing.
func Open(o Options) (*Instance, error) {
	l, err := loader.New(o.NetNS, o.Root)
	if err != nil {
		return nil, classify(err)
	}
	l.Report(o.Progress)
	return &Instance{loader: l, maxFlows: o.MaxFlows}, nil
}

// Close frees the handle of the network namespace; what is in the kernel stays.
func (i *Instance) Close() error { return i.loader.Close() }

// classify gives errors of the loader their kind.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, loader.ErrUnsupported):
		return Errorf(ErrUnsupported, "%w", err)
	case errors.Is(err, loader.ErrNoNamespace):
		return Errorf(ErrNotFound, "%w", err)
	case errors.Is(err, loader.ErrBadMaxFlows):
		return Errorf(ErrSyntax, "%w", err)
	}
	return err
}

// read calls f with the dataplane while nobody changes it, or not at all if none
// is loaded.
func (i *Instance) read(ctx context.Context, f func(*loader.Dataplane) error) error {
	return i.during(ctx, i.loader.Read, f)
}

// during is read in a session that begin begins, a reader's or a writer's.
func (i *Instance) during(ctx context.Context, begin func(context.Context) (*loader.Session, error), f func(*loader.Dataplane) error) error {
	session, err := begin(ctx)
	if err != nil {
		return classify(err)
	}
	defer session.Close()
	d, err := session.Open()
	if errors.Is(err, loader.ErrNotLoaded) {
		return nil
	}
	if err != nil {
		return classify(err)
	}
	defer d.Close()
	return f(d)
}

// Forwards returns every forward in a stable order: by address, port, protocol.
// An instance that is not loaded has none.
func (i *Instance) Forwards(ctx context.Context) ([]Forward, error) {
	var forwards []Forward
	err := i.read(ctx, func(d *loader.Dataplane) error {
		s, err := readState(d)
		if err == nil {
			forwards = s.forwards()
		}
		return err
	})
	return forwards, err
}

// Unload takes everything of the instance out of the kernel. It is no error
// when there is nothing.
func (i *Instance) Unload(ctx context.Context) error {
	session, err := i.loader.Write(ctx)
	if err != nil {
		return classify(err)
	}
	defer session.Close()
	return classify(session.Unload())
}
