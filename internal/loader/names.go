// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"hash/fnv"
	"io"
	"strings"

	"github.com/xfwd/xfwd/internal/maps"
)

// Devices are the devices of a namespace, by their names and numbers.
type Devices struct {
	devices []*device
	// byName has alternative names too.
	byName  map[string]*device
	byIndex map[int]*device
}

func indexDevices(list []*device) Devices {
	d := Devices{devices: list, byName: make(map[string]*device, len(list)), byIndex: make(map[int]*device, len(list))}
	for _, device := range list {
		for _, name := range device.otherNames {
			d.byName[name] = device
		}
	}
	for _, device := range list {
		d.byName[device.name], d.byIndex[device.ifindex] = device, device
	}
	return d
}

// Devices looks at the devices of the dataplane's namespace.
func (d *Dataplane) Devices() (*Devices, error) {
	return d.namespace.devices()
}

func (n *Namespace) devices() (*Devices, error) {
	var list []*device
	err := n.Do(func() (err error) {
		list, err = listDevices()
		return err
	})
	devices := indexDevices(list)
	return &devices, err
}

// Devices looks at the devices of the namespace.
func (l *Loader) Devices() (*Devices, error) { return l.namespace.devices() }

// Ifindex returns the number of the device that has a name or an alternative name.
func (d *Devices) Ifindex(name string) (ifindex int, ok bool) {
	device, ok := d.byName[name]
	if !ok {
		return 0, false
	}
	return device.ifindex, true
}

// Name returns the name of the device that has a name or an alternative name.
func (d *Devices) Name(name string) (main string, ok bool) {
	device, ok := d.byName[name]
	if !ok {
		return "", false
	}
	return device.name, true
}

// Master returns the bridge, bond or team whose port a device is: that is where
// packets have arrived, as far as forwards are concerned. It is empty for other
// devices.
func (d *Devices) Master(name string) string {
	if device := d.byName[name]; device != nil && device.master != nil {
		return device.master.name
	}
	return ""
}

// Beginning returns the devices whose names begin with a prefix, by number: those where
// packets arrive, which ports of a bridge, a bond or a team are not.
func (d *Devices) Beginning(prefix string) []int {
	var found []int
	for _, device := range d.devices {
		if device.master == nil && strings.HasPrefix(device.name, prefix) {
			found = append(found, device.ifindex)
		}
	}
	return found
}

// Know returns how the device that has a name or an alternative name can be recognised
// when it is renamed. It is zero if there is none.
func (d *Devices) Know(name string) maps.KnownDevice {
	device := d.byName[name]
	if device == nil {
		return maps.KnownDevice{}
	}
	return maps.KnownDevice{Ifindex: uint32(device.ifindex), Identity: device.identity()}
}

// Recognise returns the name of a device that was known, if it is there still.
func (d *Devices) Recognise(known maps.KnownDevice) (name string, ok bool) {
	device := d.byIndex[int(known.Ifindex)]
	if known.Ifindex == 0 || device == nil || device.identity() != known.Identity {
		return "", false
	}
	return device.name, true
}

// identity differs for most devices that one after the other have the same number: the
// kernel gives a number again only if somebody asks for it. Of two devices of one kind
// without a link-layer address it is the same.
func (d *device) identity() uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, d.kind+"/") // a hash takes everything
	_, _ = h.Write(d.address)
	return h.Sum64()
}
