// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/internal/maps"
	"github.com/xfwd/xfwd/test/lab"
)

// reasonOfANewerBuild is a drop that this build has no name for.
const reasonOfANewerBuild = 63

// Every command works on a dataplane of the build before, which has the same layout and
// other programs; and shows what those have counted under the names that it has always had.
func TestCommandsOnTheBuildBefore(t *testing.T) {
	t.Parallel()
	if !lab.HaveTCX() {
		t.Skip("without tcx the programs are attached by filters, which this test does not replace")
	}
	lan := lab.New(t).Direct()
	lan.Host.Echo("tcp", ":30080")
	x := lan.Host.XFWD()
	x.Add("80", "30080", "--name", "web")
	x.Add("81", "30081")
	x.Do("backend", "drain", "81", "30081")
	before := loadProgramsBefore(t, x)
	before.attach(t)

	talk := newRounds(t, lan, at(lan.HostAddr.V4, 80), 10)
	talk.mustGoOn(t)
	if conn, err := lan.Client.Dial("tcp", at(lan.HostAddr.V4, 81), anyPort); err == nil {
		conn.Close()
		t.Error("a forward whose only backend is drained takes a connection")
	}
	countReason(t, x, reasonOfANewerBuild, 7)

	// These leave the programs as they are.
	saved := filepath.Join(t.TempDir(), "saved")
	for _, args := range [][]string{
		{"list"}, {"show", "web"}, {"stats"}, {"stats", "web"}, {"flows"}, {"flows", "web"},
		{"flows", "del", "--all", "--dry-run"}, {"status"}, {"save", saved}, {"add", "82", "30080", "--dry-run"}, {"version"},
	} {
		x.Do(args...)
	}
	within(t, lan, "top", func(t *testing.T) {
		terminal := lan.Lab.Terminal(80, 24)
		terminal.Run(strings.Join(x.Command("top").Args, " ") + `; echo "status: $?"`)
		terminal.Await("the forward", func(screen string) bool { return strings.Contains(screen, "web") })
		terminal.Press("q")
		terminal.Await("the end", func(screen string) bool { return strings.Contains(screen, "status: 0") })
	})
	status := x.Status()
	if status.Drops["no-backend"] == 0 || status.Drops["reason-63"] != 7 {
		t.Errorf("dropped are %v, want some for no-backend and 7 for reason-63", status.Drops)
	}
	if got := x.Counters("81").Drops; got["no-backend"] == 0 || got["reason-63"] != 7 {
		t.Errorf("forward 81 has dropped %v, want some for no-backend and 7 for reason-63", got)
	}
	s := x.Serve()
	scrape := func() {
		t.Helper()
		got := s.Metrics()
		for _, name := range []string{
			`xfwd_drops_total{reason="no-backend"}`,
			`xfwd_drops_total{reason="reason-63"}`,
			`xfwd_forward_drops_total{forward="81/tcp",frontend="81/tcp",protocol="tcp",reason="reason-63"}`,
			`xfwd_forward_packets_total{direction="in",forward="web",frontend="80/tcp",protocol="tcp"}`,
		} {
			if got[name] == 0 {
				t.Errorf("a scrape shows no %s", name)
			}
		}
		if got["xfwd_up"] != 1 {
			t.Errorf("xfwd_up is %v", got["xfwd_up"])
		}
	}
	scrape()
	mustReconcile(t, s, 0)
	before.mustBeAttached(t, true)

	// These replace the programs, unless they touch no forward.
	for _, c := range []struct {
		args     []string
		upgrades bool
	}{
		{[]string{"add", "82", "30080"}, true},
		{[]string{"add", "82", "30080", "--comment", "changed", "--replace"}, true},
		{[]string{"backend", "add", "82", "30082"}, true},
		{[]string{"backend", "set", "82", "30082,weight=2"}, true},
		{[]string{"backend", "drain", "82", "30082"}, true},
		{[]string{"backend", "del", "82", "30082"}, true},
		{[]string{"del", "82"}, true},
		{[]string{"apply", "--prune", "-f", saved}, true},
		{[]string{"restore", saved}, true},
		{[]string{"flows", "del", "81"}, false},
	} {
		t.Log("xfwd", strings.Join(c.args, " "))
		before.attach(t)
		talk.mustGoOn(t)
		x.Do(c.args...)
		before.mustBeAttached(t, !c.upgrades)
		talk.mustGoOn(t)
	}
	scrape()
	before.attach(t)
	x.Do("unload")
	if got := s.Metrics(); got["xfwd_up"] != 1 || got["xfwd_loaded"] != 0 {
		t.Errorf("after unload xfwd_up is %v, xfwd_loaded is %v", got["xfwd_up"], got["xfwd_loaded"])
	}
}

// Where another layout is loaded, every command fails with one line that names the remedy,
// which works, whatever that layout has.
func TestCommandsOnAnotherLayout(t *testing.T) {
	t.Parallel()
	lan := lab.New(t).Direct()
	for name, change := range map[string]func(*testing.T, *lab.XFWD){
		"the same maps": ofAnotherLayout,
		"a map less": func(t *testing.T, x *lab.XFWD) {
			ofAnotherLayout(t, x)
			if err := os.Remove(x.PinOf("maps/affinities")); err != nil {
				t.Fatal(err)
			}
		},
		"larger settings": func(t *testing.T, x *lab.XFWD) {
			ofAnotherLayout(t, x)
			growSettings(t, x)
		},
	} {
		within(t, lan, name, func(t *testing.T) {
			x := lan.Host.XFWD()
			x.Add("80", "30080", "--name", "web")
			saved := filepath.Join(t.TempDir(), "saved")
			x.Do("save", saved)
			change(t, x)
			for _, args := range [][]string{
				{"list"}, {"show", "web"}, {"stats"}, {"flows"}, {"flows", "del", "--all"}, {"status"}, {"save", saved},
				{"add", "82", "30080"}, {"add", "82", "30080", "--dry-run"}, {"del", "web"},
				{"backend", "add", "web", "30082"}, {"backend", "set", "web", "30080,weight=2"},
				{"backend", "drain", "web", "30080"}, {"backend", "del", "web", "30080"},
				{"apply", "-f", saved}, {"restore", saved},
			} {
				result := x.Run(args...)
				if result.Status == 0 || strings.Count(result.Stderr, "\n") != 1 ||
					!strings.Contains(result.Stderr, "another version of xfwd") || !strings.Contains(result.Stderr, "`xfwd unload`") {
					t.Errorf("xfwd %s: exit status %d: %s", strings.Join(args, " "), result.Status, result.Stderr)
				}
			}
			within(t, lan, "top", func(t *testing.T) {
				terminal := lan.Lab.Terminal(80, 24)
				terminal.Run(strings.Join(x.Command("top").Args, " "))
				terminal.Await("the remedy", func(screen string) bool {
					return strings.Contains(strings.ReplaceAll(screen, "\n", ""), "`xfwd unload`")
				})
			})
			s := x.Serve()
			mustMeasure(t, s, lab.Samples{"xfwd_up": 0})
			x.Do("unload")
			mustMeasure(t, s, lab.Samples{"xfwd_up": 1, "xfwd_loaded": 0})
			x.Do("restore", saved)
			mustMeasure(t, s, lab.Samples{"xfwd_up": 1, "xfwd_loaded": 1, "xfwd_forwards": 1})
		})
	}
}

// ofAnotherLayout makes commands take the maps for those of a later version.
func ofAnotherLayout(t *testing.T, x *lab.XFWD) {
	t.Helper()
	changeSettings(t, x, func(s *bpf.XfwdSettings) { s.Layout++ })
}

// growSettings puts a map with more fields in the place of the settings.
func growSettings(t *testing.T, x *lab.XFWD) {
	t.Helper()
	pin := x.PinOf("maps/settings")
	settings, err := ebpf.LoadPinnedMap(pin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer settings.Close()
	value, err := settings.LookupBytes(uint32(0))
	if err != nil {
		t.Fatal(err)
	}
	value = append(value, make([]byte, 64)...)
	larger, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "settings", Type: settings.Type(), Flags: settings.Flags(),
		KeySize: settings.KeySize(), ValueSize: uint32(len(value)), MaxEntries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer larger.Close()
	if err := larger.Put(uint32(0), value); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(pin); err != nil {
		t.Fatal(err)
	}
	if err := larger.Pin(pin); err != nil {
		t.Fatal(err)
	}
}

// countReason counts drops for a reason, of the host and of forward 81.
func countReason(t *testing.T, x *lab.XFWD, reason uint32, packets uint64) {
	t.Helper()
	reasons, err := ebpf.LoadPinnedMap(x.PinOf("maps/reasons"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reasons.Close()
	perCPU := make([]uint64, ebpf.MustPossibleCPU())
	perCPU[0] = packets
	if err := reasons.Put(reason, perCPU); err != nil {
		t.Fatal(err)
	}
	drops, err := ebpf.LoadPinnedMap(x.PinOf("maps/forward_drops"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drops.Close()
	// Only forward 81 has dropped something.
	var key bpf.XfwdForwardReasonKey
	if err := drops.NextKey(nil, &key); err != nil {
		t.Fatal(err)
	}
	key.Reason = reason
	if err := drops.Put(key, packets); err != nil {
		t.Fatal(err)
	}
}

// programsBefore are the programs of the first build that had the layout of this one.
type programsBefore struct {
	xfwd   *lab.XFWD
	byName map[string]*ebpf.Program
}

// loadProgramsBefore loads them for the maps of a dataplane, as far as it has programs of
// the same names. That the maps fit is checked as for an upgrade.
func loadProgramsBefore(t *testing.T, x *lab.XFWD) *programsBefore {
	t.Helper()
	spec := specBefore(t)
	pinned := make(map[string]*ebpf.Map)
	pins, err := filepath.Glob(x.PinOf("maps") + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, pin := range pins {
		m, err := ebpf.LoadPinnedMap(pin, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		name := filepath.Base(pin)
		pinned[name] = m
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	changeSettings(t, x, func(s *bpf.XfwdSettings) {
		if err := spec.Variables["netns_cookie"].Set(s.NetnsCookie); err != nil {
			t.Fatal(err)
		}
	})
	names := pinnedPrograms(t, x)
	for name := range spec.Programs {
		if !slices.Contains(names, name) {
			delete(spec.Programs, name)
		}
	}
	all, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: pinned})
	if err != nil {
		t.Fatalf("loading the programs of the build before: %v", err)
	}
	t.Cleanup(all.Close)
	return &programsBefore{x, all.Programs}
}

// specBefore reads the programs. They are kept by the test of package bpf, which makes
// them anew for a new layout.
func specBefore(t *testing.T) *ebpf.CollectionSpec {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", fmt.Sprintf("programs-%d.o.gz", maps.Layout)))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	object, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	if spec.ByteOrder.Uint16([]byte{1, 0}) != binary.NativeEndian.Uint16([]byte{1, 0}) {
		t.Skip("the programs of the build before are kept for little-endian machines only")
	}
	return spec
}

// attach makes the dataplane one of the build before: what is pinned and what the hooks run.
func (p *programsBefore) attach(t *testing.T) {
	t.Helper()
	now := make(map[ebpf.ProgramID]string)
	for name, id := range p.pinned(t) {
		now[id] = name
	}
	p.eachLink(t, func(l link.Link, id ebpf.ProgramID) {
		old := p.byName[now[id]]
		if old == nil {
			t.Fatalf("the build before had no program %s", now[id])
		}
		if err := l.Update(old); err != nil {
			t.Fatal(err)
		}
	})
	for name := range p.pinned(t) {
		pin := p.xfwd.PinOf("programs/" + name)
		if err := os.Remove(pin); err != nil {
			t.Fatal(err)
		}
		// A program that is pinned already keeps that pin, so it gets a handle of its own.
		clone, err := p.byName[name].Clone()
		if err != nil {
			t.Fatal(err)
		}
		defer clone.Close()
		if err := clone.Pin(pin); err != nil {
			t.Fatal(err)
		}
	}
	ofAnotherBuild(t, p.xfwd)
	p.mustBeAttached(t, true)
}

// mustBeAttached fails the test unless all hooks run programs of the build before, or none.
func (p *programsBefore) mustBeAttached(t *testing.T, want bool) {
	t.Helper()
	old := make(map[ebpf.ProgramID]bool)
	for _, program := range p.byName {
		old[programID(t, program)] = true
	}
	for name, id := range p.pinned(t) {
		if old[id] != want {
			t.Errorf("the pinned %s is of the build before: %v, want %v", name, old[id], want)
		}
	}
	p.eachLink(t, func(l link.Link, id ebpf.ProgramID) {
		if old[id] != want {
			t.Errorf("%v runs a program of the build before: %v, want %v", l, old[id], want)
		}
	})
}

// pinned are the numbers of the programs that are pinned, by their names.
func (p *programsBefore) pinned(t *testing.T) map[string]ebpf.ProgramID {
	t.Helper()
	pins, err := filepath.Glob(p.xfwd.PinOf("programs") + "/*")
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]ebpf.ProgramID)
	for _, pin := range pins {
		program, err := ebpf.LoadPinnedProgram(pin, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[filepath.Base(pin)] = programID(t, program)
		program.Close()
	}
	return ids
}

// eachLink calls f for each hook, with the number of the program that it runs.
func (p *programsBefore) eachLink(t *testing.T, f func(link.Link, ebpf.ProgramID)) {
	t.Helper()
	pins, err := filepath.Glob(p.xfwd.PinOf("links") + "/*")
	if err != nil || len(pins) == 0 {
		t.Fatalf("no links: %v", err)
	}
	for _, pin := range pins {
		l, err := link.LoadPinnedLink(pin, nil)
		if err != nil {
			t.Fatal(err)
		}
		info, err := l.Info()
		if err != nil {
			t.Fatal(err)
		}
		f(l, info.Program)
		l.Close()
	}
}

func programID(t *testing.T, program *ebpf.Program) ebpf.ProgramID {
	t.Helper()
	info, err := program.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	return id
}
