// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sync/errgroup"
)

// A program is loaded and pinned when a hook first needs it, for most hosts need few of
// them and the verifier takes long. From then on commands use the pin. So all pins are of
// the build that the settings name: a process of another build loads no program of its
// own beside them, and Upgrade replaces all of them.

// noBuild is the build in the settings while Upgrade replaces the pins. No process takes
// it for its own, so the next command repeats an upgrade that was killed.
const noBuild = 0

// program returns a program for a hook of this dataplane. Only writers may ask for it.
func (d *Dataplane) program(name string) (*ebpf.Program, error) {
	if err := d.need(name); err != nil {
		return nil, err
	}
	if p := d.programs[name]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("the loaded programs are those of another version of xfwd, and %s is not among them; "+
		"`xfwd apply` or any `xfwd add` loads it; restart `xfwd serve` if it is older", name)
}

// need opens the pinned programs of these names, and loads those that have no pin. If the
// pins are of another build, it leaves out those that have none.
func (d *Dataplane) need(names ...string) error {
	var missing []string
	for _, name := range names {
		if d.programs[name] != nil || slices.Contains(missing, name) {
			continue
		}
		p, err := ebpf.LoadPinnedProgram(filepath.Join(d.directory, programPins, name), nil)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, name)
			continue
		}
		if err != nil {
			return explain("open the pinned "+name, err)
		}
		d.programs[name] = p
	}
	if len(missing) == 0 || d.Settings.Build != build() {
		return nil
	}
	loaded, err := d.load(missing)
	if err != nil {
		return err
	}
	return d.adopt(loaded)
}

// load loads programs of this command, for the maps that are pinned. It changes nothing
// that stays.
func (d *Dataplane) load(names []string) (map[string]*ebpf.Program, error) {
	spec, err := d.ownSpec()
	if err != nil {
		return nil, err
	}
	opened, err := openMaps(d.directory)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	return loadPrograms(spec, mapsByName(opened), names)
}

// ownSpec is what this command loads programs from.
func (d *Dataplane) ownSpec() (*ebpf.CollectionSpec, error) {
	if d.spec != nil {
		return d.spec, nil
	}
	if err := liftMemoryLimit(); err != nil {
		return nil, err
	}
	var err error
	d.spec, err = collection(d.namespace, d.Settings.MaxFlows)
	return d.spec, err
}

// adopt pins programs, in the place of those of the same names, and uses them from now on.
func (d *Dataplane) adopt(loaded map[string]*ebpf.Program) error {
	if err := pinPrograms(loaded, d.directory); err != nil {
		for _, p := range loaded {
			p.Close()
		}
		return err
	}
	for name, p := range loaded {
		if old := d.programs[name]; old != nil {
			delete(d.ids, old)
			old.Close()
		}
		d.programs[name] = p
	}
	return nil
}

// loadPrograms loads programs of these names with these maps. It loads several at once,
// for a verifier uses one processor.
func loadPrograms(spec *ebpf.CollectionSpec, pinned map[string]*ebpf.Map, names []string) (map[string]*ebpf.Program, error) {
	for name, m := range pinned {
		// As large as it was made, whatever this command would make it.
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	// The constants are in a map without a pin, which stays with the programs.
	all, err := ebpf.NewCollectionWithOptions(
		&ebpf.CollectionSpec{Maps: spec.Maps, Variables: spec.Variables, Types: spec.Types, ByteOrder: spec.ByteOrder},
		ebpf.CollectionOptions{MapReplacements: pinned})
	if err != nil {
		return nil, explain("load the programs", err)
	}
	defer all.Close()
	options := ebpf.CollectionOptions{MapReplacements: all.Maps, Cache: btf.NewCache()}
	loaded := make([]*ebpf.Program, len(names))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		group.Go(func() error {
			one := &ebpf.CollectionSpec{
				Maps:      spec.Maps,
				Programs:  map[string]*ebpf.ProgramSpec{name: spec.Programs[name]},
				Types:     spec.Types,
				ByteOrder: spec.ByteOrder,
			}
			c, err := ebpf.NewCollectionWithOptions(one, options)
			if err != nil {
				return err
			}
			defer c.Close()
			loaded[i] = c.DetachProgram(name)
			return nil
		})
	}
	err = group.Wait()
	byName := make(map[string]*ebpf.Program, len(names))
	for i, name := range names {
		if err != nil {
			loaded[i].Close()
			continue
		}
		byName[name] = loaded[i]
	}
	return byName, explain("load the programs", err)
}

// pinPrograms pins programs, in the place of others.
func pinPrograms(programs map[string]*ebpf.Program, directory string) error {
	for name, p := range programs {
		path := filepath.Join(directory, programPins, name)
		if err := removePin(path); err != nil {
			return err
		}
		if err := p.Pin(path); err != nil {
			return explain("pin program "+name, err)
		}
	}
	return nil
}

// Upgrade replaces the programs by those of this command, if they are others, and hands
// them to the hooks. Maps, and so flows and counters, stay. A command that is killed
// meanwhile leaves the next one to repeat it; once all pins are new, to hand them to the
// hooks, as Attach does.
func (d *Dataplane) Upgrade() error {
	if d.Settings.Build == build() {
		return nil
	}
	names, err := d.pinnedPrograms()
	if err != nil {
		return err
	}
	spec, err := d.ownSpec()
	if err != nil {
		return err
	}
	// Those of hooks that this build does not have go.
	dropped := func(name string) bool { return spec.Programs[name] == nil }
	names = slices.DeleteFunc(names, dropped)
	loaded, err := d.load(names)
	if err != nil {
		return err
	}
	if err := d.putBuild(noBuild); err != nil {
		return err
	}
	if err := d.adopt(loaded); err != nil {
		return err
	}
	if err := removePins(filepath.Join(d.directory, programPins), dropped); err != nil {
		return err
	}
	if err := d.putBuild(build()); err != nil {
		return err
	}
	_, err = d.Attach()
	return err
}

func (d *Dataplane) putBuild(build uint64) error {
	d.Settings.Build = build
	return d.Maps.PutSettings(d.Settings)
}

// pinnedPrograms returns the names of the programs that are pinned.
func (d *Dataplane) pinnedPrograms() ([]string, error) {
	pins, err := os.ReadDir(filepath.Join(d.directory, programPins))
	if err != nil {
		return nil, explain("list the pinned programs", err)
	}
	var names []string
	for _, pin := range pins {
		names = append(names, pin.Name())
	}
	return names, nil
}
