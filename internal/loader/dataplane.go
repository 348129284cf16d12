// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/internal/maps"
)

// Below a namespace's directory.
const (
	mapPins     = "maps"
	programPins = "programs"
	linkPins    = "links"
	notePins    = "notes"
)

// Dataplane is a loaded dataplane: its maps, programs and the pins of its links.
type Dataplane struct {
	Maps      *maps.Set
	Settings  maps.Settings
	namespace *Namespace
	directory string
	programs  bpf.XfwdPrograms
	// ids are the kernel's numbers of those programs that were asked for.
	ids map[*ebpf.Program]uint32
}

// Close closes the handles; what is in the kernel stays.
func (d *Dataplane) Close() error {
	return errors.Join(d.Maps.Close(), d.programs.Close())
}

// load makes the programs and maps of a dataplane.
func load(namespace *Namespace, maxFlows uint32) (*ebpf.Collection, error) {
	if err := liftMemoryLimit(); err != nil {
		return nil, err
	}
	spec, err := collection(namespace, maxFlows)
	if err != nil {
		return nil, err
	}
	c, err := ebpf.NewCollection(spec)
	return c, explain("load the programs", err)
}

// pin makes a dataplane of programs and maps: it pins them in a directory, and
// writes the settings.
func pin(c *ebpf.Collection, namespace *Namespace, directory string, maxFlows uint32) error {
	for _, part := range []string{mapPins, programPins, linkPins, notePins} {
		if err := os.MkdirAll(filepath.Join(directory, part), 0o700); err != nil {
			return explain("make the pin directory "+directory, err)
		}
	}
	for name, m := range c.Maps {
		// .rodata and its like stay with their programs; bpffs has no names with dots.
		if name[0] == '.' {
			continue
		}
		if err := m.Pin(filepath.Join(directory, mapPins, name)); err != nil {
			return explain("pin map "+name, err)
		}
	}
	if err := pinPrograms(c, directory); err != nil {
		return err
	}
	opened, err := openMaps(directory)
	if err != nil {
		return err
	}
	set := maps.NewSet(opened)
	defer set.Close()
	return set.PutSettings(maps.Settings{
		Layout:      maps.Layout,
		MaxFlows:    maxFlows,
		NetNSCookie: namespace.cookie,
		Build:       build(),
		Masquerade:  masqueradePorts,
	})
}

// masqueradePorts are below those that the kernel gives to the host's sockets, as
// it comes, and above those that services have.
var masqueradePorts = maps.PortRange{First: 10000, Last: 29999}

func pinPrograms(c *ebpf.Collection, directory string) error {
	for name, p := range c.Programs {
		path := filepath.Join(directory, programPins, name)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return explain("unpin program "+name, err)
		}
		if err := p.Pin(path); err != nil {
			return explain("pin program "+name, err)
		}
	}
	return nil
}

// openDataplane opens a pinned dataplane. One that was made for a namespace
// which is gone, and whose inode number this one has got, is none.
func openDataplane(namespace *Namespace, directory string) (*Dataplane, error) {
	return openPart(namespace, directory, part{programs: everyProgram})
}

func everyProgram(string) bool { return true }

// part names maps and programs of a dataplane. No map is named for all.
type part struct {
	maps     []string
	programs func(name string) bool
}

// openPart is openDataplane for a part of it. The settings are in every part.
func openPart(namespace *Namespace, directory string, part part) (*Dataplane, error) {
	if _, err := os.Stat(directory); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotLoaded
	}
	opened, err := openMaps(directory, part.maps...)
	if err != nil {
		return nil, err
	}
	d := &Dataplane{Maps: maps.NewSet(opened), namespace: namespace, directory: directory}
	d.Settings, err = d.Maps.Settings()
	switch {
	case err != nil:
	case d.Settings.NetNSCookie != namespace.cookie:
		err = ErrNotLoaded
	case d.Settings.Layout != maps.Layout:
		err = errors.New("the dataplane was loaded by another version of xfwd: save its forwards with that one, `xfwd unload`, and `xfwd restore`")
	case part.programs != nil:
		d.programs, err = openPrograms(directory, part.programs)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// openMaps opens the pinned maps of these names, or all if none is named.
func openMaps(directory string, names ...string) (bpf.XfwdMaps, error) {
	var m bpf.XfwdMaps
	err := openPinned(&m, filepath.Join(directory, mapPins), func(path string) (*ebpf.Map, error) {
		if len(names) > 0 && !slices.Contains(names, filepath.Base(path)) {
			return nil, nil
		}
		return ebpf.LoadPinnedMap(path, nil)
	})
	return m, err
}

func mapsByName(m bpf.XfwdMaps) map[string]*ebpf.Map {
	byName := make(map[string]*ebpf.Map)
	v := reflect.ValueOf(m)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("ebpf"); name != "" {
			byName[name] = v.Field(i).Interface().(*ebpf.Map)
		}
	}
	return byName
}

// openPrograms opens the pinned programs that are wanted, by their names.
func openPrograms(directory string, wanted func(name string) bool) (bpf.XfwdPrograms, error) {
	var p bpf.XfwdPrograms
	err := openPinned(&p, filepath.Join(directory, programPins), func(path string) (*ebpf.Program, error) {
		if !wanted(filepath.Base(path)) {
			return nil, nil
		}
		program, err := ebpf.LoadPinnedProgram(path, nil)
		if errors.Is(err, fs.ErrNotExist) && slices.Contains(xdpPrograms, filepath.Base(path)) {
			// Just one of these is loaded.
			return nil, nil
		}
		return program, err
	})
	return p, err
}

// openPinned fills the fields of a struct that bpf2go has made, whose tags are
// the names of what they hold, from the pins of those names.
func openPinned[T any](fields any, directory string, open func(path string) (T, error)) error {
	v := reflect.ValueOf(fields).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("ebpf")
		if name == "" {
			continue
		}
		object, err := open(filepath.Join(directory, name))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the pin %s is missing, so somebody has removed it; `xfwd unload` takes the rest out of the kernel, then `xfwd restore` or `xfwd add` loads all anew",
				filepath.Join(filepath.Base(directory), name))
		}
		if err != nil {
			return explain("open the pinned "+name, err)
		}
		v.Field(i).Set(reflect.ValueOf(object))
	}
	return nil
}

// Upgrade replaces the programs by those of this command, if they are others.
// Maps, and so flows and counters, stay. Attach then hands the new programs to
// the hooks. A command that is killed meanwhile leaves the next one to repeat it.
func (d *Dataplane) Upgrade() error {
	if d.Settings.Build == build() {
		return nil
	}
	if err := liftMemoryLimit(); err != nil {
		return err
	}
	spec, err := collection(d.namespace, d.Settings.MaxFlows)
	if err != nil {
		return err
	}
	opened, err := openMaps(d.directory)
	if err != nil {
		return err
	}
	defer opened.Close()
	replacements := mapsByName(opened)
	for name, m := range replacements {
		// As large as it was made, whatever this command would make it.
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: replacements})
	if err != nil {
		return explain("load the programs", err)
	}
	defer c.Close()
	if err := pinPrograms(c, d.directory); err != nil {
		return err
	}
	if err := d.programs.Close(); err != nil {
		return err
	}
	d.ids = nil
	if d.programs, err = openPrograms(d.directory, everyProgram); err != nil {
		return err
	}
	if _, err := d.Attach(); err != nil {
		return err
	}
	d.Settings.Build = build()
	return d.Maps.PutSettings(d.Settings)
}
