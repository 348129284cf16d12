// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"cmp"
	"errors"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// linkLayer says how a device's packets begin.
type linkLayer int

const (
	ethernet linkLayer = iota
	// raw packets begin with their IP header, as on tun and WireGuard.
	raw
	// foreign ones begin with something that the programs do not read.
	foreign
)

// device is a network device.
type device struct {
	name    string
	ifindex int
	// otherNames are its alternative names.
	otherNames []string
	// kind is what rtnetlink calls it, such as veth, or hardwareKind.
	kind    string
	layer   linkLayer
	mtu     int
	address net.HardwareAddr
	// filter is the kernel's of the sources of packets.
	filter maps.SourceFilter
	// master is the device that it is a port of, or nil. The ports of a VRF are
	// none: they keep their own IP layer.
	master *device
	// vrfTable is the routing table of the VRF that it is, or is a port of, or 0.
	vrfTable int
	// down is set for a device that is off or has no carrier.
	down bool
	// machine is set for a tap that is a network card of a virtual machine.
	machine bool
	// filtersVLANs is set for a bridge that does.
	filtersVLANs bool
	// other is the ifindex of the other one of a pair, and otherNamespace, unless it
	// is negative, the number of its namespace as this one knows it.
	other, otherNamespace int
	// peer is set if what is received at the other end is for its namespace alone;
	// only Host asks that.
	peer bool
	// skip says why packets need not, or must not, be handled here.
	skip string
}

// hardwareKind is the kind of devices that no command of rtnetlink makes: those
// of hardware, emulated hardware included, and few others.
const hardwareKind = "device"

// listDevices returns all devices of the current namespace, by ifindex, and
// decides for each whether packets are handled there: where their IP layer ends,
// and on the ports of a bridge, because there netfilter has not seen them yet.
func listDevices() ([]*device, error) {
	links, err := listLinks()
	return newDevices(links), err
}

// listLinks returns what the kernel says of all devices of the current namespace.
func listLinks() ([]netlink.Link, error) {
	var links []netlink.Link
	err := dump("devices", func() error {
		links = nil
		var failed error
		err := dumpOf("devices", unix.RTM_GETLINK, linkBody(0, -1), func(_ uint16, data []byte) bool {
			var l netlink.Link
			// What it returns refers to the data.
			if l, failed = netlink.LinkDeserialize(nil, bytes.Clone(data)); failed == nil {
				links = append(links, l)
			}
			return failed == nil
		})
		return errors.Join(failed, err)
	})
	return links, err
}

// newDevices returns what we know of devices by what the kernel says of them all.
func newDevices(links []netlink.Link) []*device {
	devices := make([]*device, len(links))
	byIndex := make(map[int]*device, len(links))
	for i, l := range links {
		devices[i] = newDevice(l)
		byIndex[devices[i].ifindex] = devices[i]
	}
	for i, l := range links {
		d := devices[i]
		// A master that is not found is in another namespace.
		switch master := byIndex[l.Attrs().MasterIndex]; {
		case master == nil:
		case master.kind == "vrf":
			d.vrfTable = master.vrfTable
		default:
			d.master = master
		}
	}
	for i, l := range links {
		devices[i].skip = devices[i].whySkip(l.Attrs().EncapType)
	}
	slices.SortFunc(devices, func(a, b *device) int { return cmp.Compare(a.ifindex, b.ifindex) })
	return devices
}

func newDevice(l netlink.Link) *device {
	a := l.Attrs()
	d := &device{
		name:       a.Name,
		ifindex:    a.Index,
		otherNames: a.AltNames,
		kind:       l.Type(),
		layer:      linkLayerOf(a.EncapType),
		mtu:        a.MTU,
		address:    a.HardwareAddr,
		down:       a.RawFlags&unix.IFF_LOWER_UP == 0,
	}
	if tap, is := l.(*netlink.Tuntap); is {
		// Packets have the header of virtio, as QEMU and others of its kind want it;
		// tunnels have no use for it on a tap.
		d.machine = tap.Mode == netlink.TUNTAP_MODE_TAP && tap.Flags&netlink.TUNTAP_VNET_HDR != 0
	}
	if bridge, is := l.(*netlink.Bridge); is {
		d.filtersVLANs = bridge.VlanFiltering != nil && *bridge.VlanFiltering
	}
	if vrf, is := l.(*netlink.Vrf); is {
		d.vrfTable = int(vrf.Table)
	}
	if d.kind == "veth" || d.kind == "netkit" {
		d.other, d.otherNamespace = a.ParentIndex, a.NetNsID
	}
	return d
}

func (d *device) whySkip(encapsulation string) string {
	switch {
	case encapsulation == "loopback":
		return "own connections are served by the socket hooks"
	case d.layer == foreign:
		return "link layer " + encapsulation + " is not supported"
	case d.master == nil || d.bridgePort():
		return ""
	case d.master.kind == "bridge" && d.master.filtersVLANs:
		return "port of " + d.master.name + ", which filters VLANs: served there"
	}
	return "port of " + d.master.name
}

// bridgePort says whether packets are handled here because the device is the port
// of a bridge. One that filters VLANs decides by itself what belongs to it.
func (d *device) bridgePort() bool {
	return d.master != nil && d.master.kind == "bridge" && !d.master.filtersVLANs && d.layer == ethernet
}

// servesAtPorts says whether the device is a bridge whose packets are handled at its
// ports as well.
func (d *device) servesAtPorts() bool {
	return d.kind == "bridge" && !d.filtersVLANs
}

// network is the device where the IP layer of a device is.
func (d *device) network() *device {
	if d.master != nil {
		return d.master
	}
	return d
}

// stackedKinds are devices whose packets another one sends, without a header or a tag
// of their own.
var stackedKinds = []string{"macvlan", "macvtap", "ipvlan", "ipvtap"}

// facts are what the programs must know of a device; they leave out the primary
// addresses and XDP.
func (d *device) facts() maps.Device {
	f := maps.Device{
		Network:  uint32(d.network().ifindex),
		MTU:      uint32(d.mtu),
		Ethernet: d.layer == ethernet,
		Peer:     d.peer,
		Stacked:  slices.Contains(stackedKinds, d.kind),
		Sources:  d.filter,
	}
	if f.Ethernet {
		copy(f.Address[:], d.network().address)
	}
	return f
}

func linkLayerOf(encapsulation string) linkLayer {
	switch encapsulation {
	case "ether":
		return ethernet
	// wireguard and tun; ipip, sit, gre, ip6tnl and ip6gre; ppp; raw IP of modems
	case "none", "ipip", "sit", "gre", "tunnel6", "gre6", "ppp", "rawip", "void":
		return raw
	}
	return foreign
}
