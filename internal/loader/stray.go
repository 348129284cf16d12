// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
)

// stray is a program of ours that packets or sockets of a namespace meet, though
// the dataplane that it belongs to has no pins. They went with a BPF file system that
// was unmounted, or another one is mounted over them. A dataplane beside it would
// translate what it has translated already. One that is pinned below another root is
// an instance of its own.
type stray struct {
	program ebpf.ProgramID
	// device is the name of the device, or empty for sockets, and ifindex its number.
	device  string
	ifindex int
}

// ownName begins the names of all our programs.
const ownName = "xfwd_"

// Strays names the devices that strays are on; "own connections" are those of the
// socket hooks.
func (l *Loader) Strays() ([]string, error) {
	var places []string
	err := l.namespace.Do(func() error {
		strays, err := l.strays()
		for _, s := range strays {
			place := s.device
			if place == "" {
				place = "own connections"
			}
			if !slices.Contains(places, place) {
				places = append(places, place)
			}
		}
		return err
	})
	return places, err
}

// StrayRemedy says, of what Strays has found, what is wrong and what to do.
func (l *Loader) StrayRemedy(places []string) string {
	const most = 3
	if more := len(places) - most; more > 0 {
		places = append(slices.Clone(places[:most]), fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("another dataplane of xfwd serves %s, and has no pins: they were unmounted, or are hidden by another mount; "+
		"if %s is mounted twice, `umount %s` brings them back, else `xfwd unload` removes that dataplane", strings.Join(places, ", "), bpffs, bpffs)
}

// strays finds the strays of the namespace, which the calling thread is in.
func (l *Loader) strays() ([]stray, error) {
	found := straySearch{namespace: l.namespace, pinned: pinnedSettings(l.root), known: make(map[ebpf.ProgramID]bool)}
	links, err := listLinks()
	if err != nil {
		return nil, err
	}
	// It has one socket for all of these questions.
	if found.filters, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, explain("list the filters", err)
	}
	defer found.filters.Close()
	for _, l := range links {
		found.onDevice(l)
	}
	found.onSockets()
	return found.strays, nil
}

// straySearch is a search for strays. What cannot be looked at is none: it ends
// while we look, or the kernel does not have it.
type straySearch struct {
	namespace *Namespace
	// pinned are the settings maps of the dataplanes that have pins.
	pinned map[ebpf.MapID]bool
	// known says of the programs that have been looked at whether they are strays.
	known   map[ebpf.ProgramID]bool
	filters *netlink.Handle
	strays  []stray
}

func (s *straySearch) onDevice(l netlink.Link) {
	a := l.Attrs()
	for _, direction := range []direction{ingress, egress} {
		for _, program := range attached(a.Index, direction.tcx()) {
			s.add(program, a.Name, a.Index)
		}
		filters, _ := s.filters.FilterList(l, direction.parent())
		for _, f := range filters {
			if filter, is := f.(*netlink.BpfFilter); is && isOurs(f) {
				s.add(ebpf.ProgramID(filter.Id), a.Name, a.Index)
			}
		}
	}
	if a.Xdp != nil && a.Xdp.ProgId != 0 {
		s.add(ebpf.ProgramID(a.Xdp.ProgId), a.Name, a.Index)
	}
}

func (s *straySearch) onSockets() {
	root, err := openRootCgroup()
	if err != nil {
		return
	}
	defer unix.Close(root)
	for _, hook := range socketPlaces {
		for _, program := range attached(root, hook.attach) {
			s.add(program, "", 0)
		}
	}
}

// attached returns the programs of a device or a cgroup.
func attached(target int, how ebpf.AttachType) []ebpf.ProgramID {
	result, err := link.QueryPrograms(link.QueryOptions{Target: target, Attach: how})
	if err != nil {
		return nil
	}
	var programs []ebpf.ProgramID
	for _, p := range result.Programs {
		programs = append(programs, p.ID)
	}
	return programs
}

func (s *straySearch) add(id ebpf.ProgramID, device string, ifindex int) {
	is, known := s.known[id]
	if !known {
		settings, cookie, found := dataplaneOf(id)
		// The root cgroup has programs of all namespaces. What is on a device was for
		// its namespace when it was attached there.
		is = found && !s.pinned[settings] && (device != "" || cookie == s.namespace.cookie)
		s.known[id] = is
	}
	if is {
		s.strays = append(s.strays, stray{id, device, ifindex})
	}
}

// dataplaneOf tells which dataplane a program is of, by the number of its settings
// map, and the cookie of that dataplane's namespace.
func dataplaneOf(id ebpf.ProgramID) (settings ebpf.MapID, cookie uint64, found bool) {
	program, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return 0, 0, false
	}
	defer program.Close()
	info, err := program.Info()
	if err != nil || !strings.HasPrefix(info.Name, ownName) {
		return 0, 0, false
	}
	maps, _ := info.MapIDs()
	for _, id := range maps {
		if cookie, found := settingsCookie(id); found {
			return id, cookie, true
		}
	}
	return 0, 0, false
}

// settingsCookie reads a map if it is one of settings, of any version of xfwd.
func settingsCookie(id ebpf.MapID) (cookie uint64, found bool) {
	m, err := ebpf.NewMapFromID(id)
	if err != nil {
		return 0, false
	}
	defer m.Close()
	info, err := m.Info()
	if err != nil || info.Name != "settings" {
		return 0, false
	}
	var settings bpf.XfwdSettings
	if m.Lookup(uint32(0), &settings) != nil {
		return 0, true
	}
	return settings.NetnsCookie, true
}

// pinnedSettings are the settings maps that are pinned on the BPF file system of a
// root, below whatever root.
func pinnedSettings(root string) map[ebpf.MapID]bool {
	top, _ := findRoot(root)
	for onBPFFS(filepath.Dir(top)) {
		top = filepath.Dir(top)
	}
	pinned := make(map[ebpf.MapID]bool)
	// What cannot be read belongs to somebody else.
	_ = filepath.WalkDir(top, func(path string, _ fs.DirEntry, _ error) error {
		if filepath.Base(path) != "settings" || filepath.Base(filepath.Dir(path)) != mapPins {
			return nil
		}
		if m, err := ebpf.LoadPinnedMap(path, &ebpf.LoadPinOptions{ReadOnly: true}); err == nil {
			defer m.Close()
			if info, err := m.Info(); err == nil {
				id, _ := info.ID()
				pinned[id] = true
			}
		}
		return nil
	})
	return pinned
}

// removeStrays takes all dataplanes without pins out of the namespace, which the
// calling thread is in. Links are detached, for who knows who holds them; filters have
// been removed by their handle.
func (l *Loader) removeStrays() error {
	strays, err := l.strays()
	if err != nil || len(strays) == 0 {
		return err
	}
	it := new(link.Iterator)
	defer it.Close()
	for it.Next() {
		info, err := it.Link.Info()
		if err != nil || !slices.ContainsFunc(strays, func(s stray) bool { return s.runsBy(info) }) {
			continue
		}
		if err := it.Link.Detach(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return explain("detach the programs of another dataplane", err)
		}
	}
	return explain("list the links", it.Err())
}

// runsBy says whether it is by this link that a stray runs. Another namespace may
// have a device of the same number, but not with that program, unless one of the
// two was moved there from the other.
func (s stray) runsBy(info *link.Info) bool {
	if info.Program != s.program {
		return false
	}
	switch {
	case info.TCX() != nil:
		return int(info.TCX().Ifindex) == s.ifindex
	case info.XDP() != nil:
		return int(info.XDP().Ifindex) == s.ifindex
	}
	return info.Cgroup() != nil
}
