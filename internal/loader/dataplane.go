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
	// programs are those that a hook has needed, by name.
	programs map[string]*ebpf.Program
	// spec is what this command loads programs from, once it was read.
	spec *ebpf.CollectionSpec
	// ids are the kernel's numbers of those programs that were asked for.
	ids      map[*ebpf.Program]uint32
	progress Progress
}

// Close closes the handles; what is in the kernel stays.
func (d *Dataplane) Close() error {
	err := d.Maps.Close()
	for _, p := range d.programs {
		err = errors.Join(err, p.Close())
	}
	return err
}

// makeMaps makes the maps of a dataplane.
func makeMaps(spec *ebpf.CollectionSpec) (*ebpf.Collection, error) {
	pinned := make(map[string]*ebpf.MapSpec, len(spec.Maps))
	for name, m := range spec.Maps {
		// .rodata and its like are made with programs and stay with them; bpffs has no names
		// with dots.
		if name[0] != '.' {
			pinned[name] = m
		}
	}
	c, err := ebpf.NewCollection(&ebpf.CollectionSpec{Maps: pinned, Types: spec.Types, ByteOrder: spec.ByteOrder})
	return c, explain("make the maps", err)
}

// pin makes a dataplane of maps: it pins them in a directory, and writes the settings.
func pin(c *ebpf.Collection, namespace *Namespace, directory string, maxFlows uint32) error {
	for _, part := range []string{mapPins, programPins, linkPins, notePins} {
		if err := os.MkdirAll(filepath.Join(directory, part), 0o700); err != nil {
			return explain("make the pin directory "+directory, err)
		}
	}
	for name, m := range c.Maps {
		if err := m.Pin(filepath.Join(directory, mapPins, name)); err != nil {
			return explain("pin map "+name, err)
		}
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

// openDataplane opens a pinned dataplane, with the maps of these names or, if none is
// named, all. One that was made for a namespace which is gone, and whose inode number this
// one has got, is none.
func openDataplane(namespace *Namespace, directory string, names ...string) (*Dataplane, error) {
	if _, err := os.Stat(directory); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotLoaded
	}
	if err := recognise(namespace, directory); err != nil {
		return nil, err
	}
	opened, err := openMaps(directory, names...)
	if err != nil {
		return nil, err
	}
	d := &Dataplane{
		Maps:      maps.NewSet(opened),
		namespace: namespace,
		directory: directory,
		programs:  make(map[string]*ebpf.Program),
	}
	if d.Settings, err = d.Maps.Settings(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// recognise returns an error unless the pinned dataplane is this namespace's and has the
// layout of this command. It comes before everything else is opened, for another layout
// has other maps and other settings.
func recognise(namespace *Namespace, directory string) error {
	settings, err := openMap(directory, "settings")
	if err != nil {
		return err
	}
	defer settings.Close()
	switch origin, err := maps.ReadOrigin(settings); {
	case err != nil:
		return err
	case origin.NetNSCookie != namespace.cookie:
		return ErrNotLoaded
	case origin.Layout != maps.Layout:
		return errors.New("the dataplane was loaded by another version of xfwd: save its forwards with that one, `xfwd unload`, and `xfwd restore`")
	}
	return nil
}

// openMaps opens the pinned maps of these names, or all if none is named.
func openMaps(directory string, names ...string) (bpf.XfwdMaps, error) {
	var m bpf.XfwdMaps
	v := reflect.ValueOf(&m).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("ebpf")
		if name == "" || len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		opened, err := openMap(directory, name)
		if err != nil {
			return m, err
		}
		v.Field(i).Set(reflect.ValueOf(opened))
	}
	return m, nil
}

// openMap opens a pinned map.
func openMap(directory, name string) (*ebpf.Map, error) {
	opened, err := ebpf.LoadPinnedMap(filepath.Join(directory, mapPins, name), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the pin %s is missing, so somebody has removed it; `xfwd unload` takes the rest out of the kernel, then `xfwd restore` or `xfwd add` loads all anew",
			filepath.Join(mapPins, name))
	}
	return opened, explain("open the pinned "+name, err)
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
