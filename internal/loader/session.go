// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/netfilter"
)

// Loader gives access to the dataplane of one network namespace.
type Loader struct {
	namespace *Namespace
	root      string
	// rules are those of netfilter in the namespace.
	rules    netfilter.Reader
	progress Progress
}

// Progress is told how much is done of what takes long: the kernel waits about ten
// milliseconds for each hook. It may be nil.
type Progress func(doing string, done, all int)

func (p Progress) report(doing string, done, all int) {
	if p != nil {
		p(doing, done, all)
	}
}

// Report has the sessions that follow tell of their progress.
func (l *Loader) Report(p Progress) { l.progress = p }

// New opens the network namespace (see OpenNamespace); an empty root is
// DefaultRoot. It changes nothing.
func New(netns, root string) (*Loader, error) {
	if root == "" {
		root = DefaultRoot
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	namespace, err := OpenNamespace(netns)
	if err != nil {
		return nil, err
	}
	return &Loader{namespace: namespace, root: root}, nil
}

// Close frees the handle of the namespace.
func (l *Loader) Close() error { return l.namespace.Close() }

// Pins is the directory of the namespace's pins, as the user named the root.
func (l *Loader) Pins() string { return filepath.Join(l.root, l.namespace.directory()) }

// InNamespace calls f in the network namespace.
func (l *Loader) InNamespace(f func() error) error { return l.namespace.Do(f) }

// Session is a time during which nobody else changes the dataplane or, if it is
// a writer's, even reads it.
type Session struct {
	loader *Loader
	lock   *lock
	// root is the path by which the root is reached; empty if there is none.
	root   string
	writes bool
}

// Read begins a reader's session.
func (l *Loader) Read(ctx context.Context) (*Session, error) {
	lock, path, err := lockRoot(ctx, false, func() (string, error) {
		path, _ := findRoot(l.root)
		return path, nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return &Session{loader: l}, nil
	}
	if err != nil {
		return nil, explain("open the pin directory "+l.root, err)
	}
	return &Session{loader: l, lock: lock, root: path}, nil
}

// Write begins a writer's session. It removes what killed commands have left, and the
// dataplanes of namespaces that are gone.
func (l *Loader) Write(ctx context.Context) (*Session, error) {
	lock, path, err := lockRoot(ctx, true, func() (string, error) { return ensureRoot(l.root) })
	if err != nil {
		return nil, explain("open the pin directory "+l.root, err)
	}
	s := &Session{loader: l, lock: lock, root: path, writes: true}
	if err := s.tidy(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the session. The root goes with its last dataplane.
func (s *Session) Close() {
	if s.lock == nil {
		return
	}
	removeRoot(s.root)
	s.lock.Unlock()
}

func (s *Session) directory() string {
	return filepath.Join(s.root, s.loader.namespace.directory())
}

const (
	loadingPrefix   = "loading-"
	unloadingPrefix = "unloading-"
)

// What is being made or removed has a name of its own, so that no one takes it
// for a dataplane.
func (s *Session) loadingDirectory() string {
	return filepath.Join(s.root, loadingPrefix+s.loader.namespace.directory())
}

func (s *Session) unloadingDirectory() string {
	return filepath.Join(s.root, unloadingPrefix+s.loader.namespace.directory())
}

// Open opens the dataplane, or returns ErrNotLoaded.
func (s *Session) Open() (*Dataplane, error) {
	if s.root == "" {
		return nil, ErrNotLoaded
	}
	d, err := openDataplane(s.loader.namespace, s.directory())
	if err != nil {
		return nil, err
	}
	d.progress = s.loader.progress
	if s.writes {
		// It is there unless another version has loaded the dataplane. Without it nothing is
		// missing but that the dataplane goes with its namespace.
		_ = pinAlive(s.loader.namespace, s.directory())
	}
	return d, nil
}

// Load puts a dataplane into the kernel; the writer's session has found none.
// maxFlows is the size of the flow table, zero for one that suits the memory.
// It has no programs yet: these come with the hooks. There is to be no stray beside it.
func (s *Session) Load(maxFlows uint32) (*Dataplane, error) {
	switch strays, err := s.loader.Strays(); {
	case err != nil:
		return nil, err
	case len(strays) > 0:
		return nil, errors.New(s.loader.StrayRemedy(strays))
	}
	if maxFlows == 0 {
		maxFlows = flowsFromMemory()
	} else if err := checkMaxFlows(maxFlows); err != nil {
		return nil, err
	}
	if err := liftMemoryLimit(); err != nil {
		return nil, err
	}
	spec, err := collection(s.loader.namespace, maxFlows)
	if err != nil {
		return nil, err
	}
	c, err := makeMaps(spec)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	d, err := s.adopt(c, maxFlows)
	if err != nil {
		return nil, err
	}
	d.spec = spec
	return d, nil
}

// adopt makes maps the dataplane of the namespace.
func (s *Session) adopt(c *ebpf.Collection, maxFlows uint32) (*Dataplane, error) {
	// What is there belongs to a namespace that is gone.
	if err := os.RemoveAll(s.directory()); err != nil {
		return nil, explain("remove "+s.directory(), err)
	}
	if err := pin(c, s.loader.namespace, s.loadingDirectory(), maxFlows); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.loadingDirectory()))
	}
	if err := os.Rename(s.loadingDirectory(), s.directory()); err != nil {
		return nil, explain("pin the dataplane", err)
	}
	return s.Open()
}

// Unload takes everything of the namespace out of the kernel. It is no error when
// there is nothing. First it stores an epoch in which no forward lives, so that a
// command which is killed meanwhile has ended all of them and not some.
func (s *Session) Unload() error {
	d, err := s.Open()
	switch {
	case err == nil:
		err = d.retire()
		d.Close()
		if err != nil {
			return err
		}
	case errors.Is(err, ErrNotLoaded):
		// What is there belongs to a namespace that is gone, its notes too.
		if err := os.RemoveAll(s.directory()); err != nil {
			return explain("remove "+s.directory(), err)
		}
	}
	// Another version's dataplane, which we cannot open, has these as well.
	err = s.loader.namespace.Do(func() error {
		n := notes(filepath.Join(s.directory(), notePins))
		return errors.Join(release(n), removeFilters(n), detachLinks(filepath.Join(s.directory(), linkPins), s.loader.progress), s.loader.removeStrays())
	})
	if err != nil {
		return err
	}
	err = os.Rename(s.directory(), s.unloadingDirectory())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return explain("unpin the dataplane", err)
	}
	if err := os.RemoveAll(s.unloadingDirectory()); err != nil {
		return fmt.Errorf("unpin the dataplane: %w", err)
	}
	return nil
}

// detachLinks detaches the links that are pinned in a directory, if there is one. A
// link that is only unpinned goes when the kernel finds the time, and would be taken
// for a stray until then.
func detachLinks(directory string, progress Progress) error {
	pins, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return explain("list "+directory, err)
	}
	defer progress.report("detaching from hooks", len(pins), len(pins))
	for i, pin := range pins {
		progress.report("detaching from hooks", i, len(pins))
		l, err := link.LoadPinnedLink(filepath.Join(directory, pin.Name()), nil)
		if err != nil {
			return explain("open the pinned link "+pin.Name(), err)
		}
		err = l.Detach()
		l.Close()
		// One of a device that has gone is detached.
		if err != nil && !errors.Is(err, unix.ENOLINK) {
			return explain("detach the link "+pin.Name(), err)
		}
	}
	return nil
}

// retire ends every forward, and then takes the programs out of the drivers.
func (d *Dataplane) retire() error {
	if err := d.Maps.Commit(0); err != nil {
		return err
	}
	d.Settings.Epoch = 0
	if err := d.limitXDP(nil); err != nil {
		return err
	}
	return d.detachXDPExcept(func(xdpLink) bool { return false })
}
