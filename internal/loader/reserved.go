// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"path/filepath"

	"github.com/xfwd/xfwd/internal/maps"
)

// reservedPorts names the ports that the kernel gives to no socket of the host
// unless a program asks for them by number.
const reservedPorts = "net.ipv4.ip_local_reserved_ports"

// reservedPortsSize is room for every other port, each with its comma.
const reservedPortsSize = 256 << 10

// reservedNote tells which of these ports we have added.
const reservedNote = "reserved-ports"

// ReservePorts keeps the host's own sockets from these ports, and from no others that
// it kept them from before. ReleasePorts and Unload undo that. A command that is killed
// meanwhile leaves the next call to complete it.
func (d *Dataplane) ReservePorts(ports []maps.PortRange) error {
	return d.namespace.Do(func() error {
		var all portSet
		for _, r := range ports {
			all.add(r.First, r.Last)
		}
		n := d.notes()
		now, theirs, err := currentReservations(n)
		if err != nil {
			return err
		}
		want := theirs.union(&all)
		if want == now {
			return nil
		}
		// A range of which we hold another part already is given back first: the
		// note always tells what is so, or what is not so any more.
		if err := release(n); err != nil {
			return err
		}
		ours := all.without(&theirs)
		if ours == (portSet{}) {
			return nil
		}
		if err := n.write(reservedNote, ours.String()); err != nil {
			return err
		}
		return writeSysctl(reservedPorts, want.String())
	})
}

// ReleasePorts takes back what ReservePorts has done, and leaves alone what
// anybody else has reserved before or since.
func (d *Dataplane) ReleasePorts() error {
	return d.namespace.Do(func() error { return release(d.notes()) })
}

// release is ReleasePorts for the current namespace and the notes about it.
func release(n notes) error {
	_, found, err := n.read(reservedNote)
	if err != nil || !found {
		return err
	}
	now, theirs, err := currentReservations(n)
	if err != nil {
		return err
	}
	if theirs != now {
		if err := writeSysctl(reservedPorts, theirs.String()); err != nil {
			return err
		}
	}
	return n.remove(reservedNote)
}

// currentReservations returns the ports that are reserved now, and those of them
// that are not our doing. Where not all of ours are reserved any more, somebody
// has written a list of their own, or we were killed before we had written ours;
// in both cases nothing of what is there is ours.
func currentReservations(n notes) (now, theirs portSet, err error) {
	text, err := readSysctl(reservedPorts, reservedPortsSize)
	if err != nil {
		return now, theirs, err
	}
	if now, err = parsePortSet(text); err != nil {
		return now, theirs, err
	}
	text, _, err = n.read(reservedNote)
	if err != nil {
		return now, theirs, err
	}
	ours, err := parsePortSet(text)
	if err != nil {
		return now, theirs, err
	}
	theirs = now
	if missing := ours.without(&now); missing == (portSet{}) {
		theirs = now.without(&ours)
	}
	return now, theirs, nil
}

func (d *Dataplane) notes() notes { return notes(filepath.Join(d.directory, notePins)) }
