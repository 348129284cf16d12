// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// The ways in which a program can be attached.
const (
	ModeTCX    = "tcx"
	ModeClsact = "clsact"
	ModeCgroup = "cgroup"
	// ModeNative is XDP in the driver of a device.
	ModeNative = "native"
	ModeNone   = "none"
)

// Hook is a place where one of our programs is, or could be, attached.
type Hook struct {
	// Device is empty for the hooks of sockets.
	Device string
	// Kind is that of the device, such as veth.
	Kind string
	// Name is ingress, egress or xdp, or that of a socket hook.
	Name string
	Mode string
	// Why says why so, or why not at all.
	Why string
	// Missing is set when nothing is attached although it should be.
	Missing bool
}

// whyNotAttached says what has happened to a hook that should have a program.
const whyNotAttached = "the device has come, or lost its program, since the last change; `xfwd apply` or any `xfwd add` attaches it"

// Attach attaches to every device and to the sockets of the namespace what is
// not attached yet, or is with an older program, and forgets devices that are
// gone. A hook that cannot be attached does not keep it from the others; it is
// told in the result. The error is that of the first, if not one device could be
// attached.
func (d *Dataplane) Attach() ([]Hook, error) {
	var hooks []Hook
	err := d.namespace.Do(func() error {
		devices, err := listDevices()
		if err != nil {
			return err
		}
		hooks, err = d.attachAll(devices)
		return err
	})
	return d.withSockets(hooks, err)
}

// AttachTo is Attach for a host that has been looked at just now.
func (d *Dataplane) AttachTo(h *Host) ([]Hook, error) {
	var hooks []Hook
	err := d.namespace.Do(func() (err error) {
		hooks, err = d.attachAll(h.devices)
		return err
	})
	return d.withSockets(hooks, err)
}

// withSockets attaches the socket hooks as well, unless the devices' hooks have failed.
func (d *Dataplane) withSockets(hooks []Hook, err error) ([]Hook, error) {
	if err != nil {
		return hooks, err
	}
	return append(hooks, d.attachSockets()...), nil
}

// attachAll attaches to all devices of the current namespace, and forgets others.
func (d *Dataplane) attachAll(devices []*device) ([]Hook, error) {
	decisions, err := d.decideXDP(devices)
	if err != nil {
		return nil, err
	}
	// At once, and before anything is changed.
	if err := d.need(programsFor(devices, decisions)...); err != nil {
		return nil, err
	}
	xdp, err := d.attachXDPHooks(devices, decisions)
	if err != nil {
		return nil, err
	}
	if err := d.forgetDevices(devices); err != nil {
		return nil, err
	}
	var hooks []Hook
	var firstErr error
	attached := 0
	defer d.progress.report("attaching to devices", len(devices), len(devices))
	for i, device := range devices {
		d.progress.report("attaching to devices", i, len(devices))
		of, err := d.attachBoth(device)
		firstErr = errors.Join(firstErr, err)
		for _, hook := range of {
			if hook.Mode != ModeNone {
				attached++
			}
		}
		hooks = append(hooks, of...)
		hooks = append(hooks, xdp[device.ifindex])
	}
	if attached == 0 {
		return hooks, firstErr
	}
	if !slices.ContainsFunc(hooks, func(h Hook) bool { return h.Mode == ModeClsact }) {
		return hooks, nil
	}
	return hooks, forgetFilters(devices)
}

// programsFor names the programs of all hooks of a namespace with these devices.
func programsFor(devices []*device, decisions map[int]xdpDecision) []string {
	var names []string
	for _, device := range devices {
		if device.skip == "" {
			names = append(names, tcProgram(device, ingress), tcProgram(device, egress))
		}
		if decisions[device.ifindex].mode == ModeNative {
			names = append(names, xdpProgram())
		}
	}
	for _, s := range socketPlaces {
		names = append(names, s.program)
	}
	return names
}

// attachBoth attaches to both directions of a device, as far as it has them.
func (d *Dataplane) attachBoth(device *device) (hooks []Hook, firstErr error) {
	for _, direction := range []direction{ingress, egress} {
		hook := Hook{Device: device.name, Kind: device.kind, Name: direction.String(), Mode: ModeNone, Why: device.skip}
		if hook.Why == "" {
			var err error
			if hook.Mode, hook.Why, err = d.attachDevice(device, direction); err != nil {
				hook.Missing = true
				hook.Why = err.Error()
				firstErr = errors.Join(firstErr, err)
			}
		}
		hooks = append(hooks, hook)
	}
	return hooks, firstErr
}

// Hooks tells what is attached where, and changes nothing.
func (d *Dataplane) Hooks() ([]Hook, error) {
	var hooks []Hook
	err := d.namespace.Do(func() error {
		devices, err := listDevices()
		if err != nil {
			return err
		}
		xdp, err := d.xdpHooks(devices)
		if err != nil {
			return err
		}
		for _, device := range devices {
			for _, direction := range []direction{ingress, egress} {
				hook := Hook{Device: device.name, Kind: device.kind, Name: direction.String(), Mode: ModeNone, Why: device.skip}
				if hook.Why == "" {
					hook.Mode, hook.Why = d.deviceHook(device, direction)
					hook.Missing = hook.Mode == ModeNone
				}
				hooks = append(hooks, hook)
			}
			hooks = append(hooks, xdp[device.ifindex])
		}
		return nil
	})
	return append(hooks, d.socketHooks()...), err
}

// linkPath is where a link is pinned.
func (d *Dataplane) linkPath(name string) string {
	return filepath.Join(d.directory, linkPins, name)
}

// pinnedLink opens a pinned link. It is nil if there is none.
func (d *Dataplane) pinnedLink(name string) (link.Link, error) {
	l, err := link.LoadPinnedLink(d.linkPath(name), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, explain("open the pinned link "+name, err)
	}
	return l, nil
}

// updatePinned makes a pinned link run a program.
func (d *Dataplane) updatePinned(name string, program *ebpf.Program) error {
	l, err := d.pinnedLink(name)
	if err != nil {
		return err
	}
	if l == nil {
		return fmt.Errorf("the pin of the link %s has gone", name)
	}
	defer l.Close()
	return l.Update(program)
}

// pinNew pins a link that has just been made; without its pin it ends with us.
func (d *Dataplane) pinNew(l link.Link, name string) error {
	defer l.Close()
	return explain("pin the link "+name, l.Pin(d.linkPath(name)))
}

// forgetDevices removes the pins of links to tc of devices that are gone or are
// left alone now, and the notes about devices that are gone.
func (d *Dataplane) forgetDevices(devices []*device) error {
	wanted := make(map[string]bool)
	there := make(map[string]bool)
	for _, device := range devices {
		there[strconv.Itoa(device.ifindex)] = true
		for _, direction := range []direction{ingress, egress} {
			wanted[linkName(device, direction)] = device.skip == ""
		}
	}
	err := removePins(filepath.Join(d.directory, linkPins), func(name string) bool {
		return isTCLink(name) && !wanted[name]
	})
	if err != nil {
		return err
	}
	return removePins(string(d.notes()), func(name string) bool {
		number, _, _ := strings.Cut(name, "-")
		_, err := strconv.Atoi(number)
		return err == nil && !there[number]
	})
}

// removePins removes what is in a directory and has a name that rubbish accepts.
func removePins(directory string, rubbish func(name string) bool) error {
	pins, err := os.ReadDir(directory)
	if err != nil {
		return explain("list "+directory, err)
	}
	for _, pin := range pins {
		if !rubbish(pin.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(directory, pin.Name())); err != nil {
			return explain("remove "+pin.Name(), err)
		}
	}
	return nil
}
