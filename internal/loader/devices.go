// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
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

// device is a network device, as far as attaching is concerned.
type device struct {
	name    string
	ifindex int
	layer   linkLayer
	// skip says why packets need not, or must not, be handled here.
	skip string
}

// listDevices returns all devices of the current namespace, by ifindex, and
// decides for each whether packets are handled there: where their IP layer ends.
func listDevices() ([]device, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, explain("list the devices", err)
	}
	byIndex := make(map[int]netlink.Link, len(links))
	for _, l := range links {
		byIndex[l.Attrs().Index] = l
	}
	devices := make([]device, 0, len(links))
	for _, l := range links {
		a := l.Attrs()
		d := device{name: a.Name, ifindex: a.Index, layer: linkLayerOf(a.EncapType)}
		switch {
		case a.EncapType == "loopback":
			d.skip = "own connections are served by the socket hooks"
		case d.layer == foreign:
			d.skip = "link layer " + a.EncapType + " is not supported"
		case a.MasterIndex != 0:
			d.skip = portOf(byIndex[a.MasterIndex])
		}
		devices = append(devices, d)
	}
	slices.SortFunc(devices, func(a, b device) int { return cmp.Compare(a.ifindex, b.ifindex) })
	return devices, nil
}

// portOf says why the port of a master is skipped, or nothing: the ports of a
// VRF keep their own IP layer.
func portOf(master netlink.Link) string {
	if master == nil {
		return "" // it is in another namespace
	}
	if master.Type() == "vrf" {
		return ""
	}
	return "port of " + master.Attrs().Name
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

// hostAddresses are the addresses of the current namespace.
type hostAddresses struct {
	all []netip.Addr
	// primary are the first global addresses of each device, by ifindex.
	primary4, primary6 map[int]netip.Addr
	// host4 and host6 are those of the device with the default route, or else
	// of the first device that has one.
	host4, host6 netip.Addr
}

// listAddresses reads the addresses of the current namespace.
func listAddresses() (hostAddresses, error) {
	h := hostAddresses{primary4: make(map[int]netip.Addr), primary6: make(map[int]netip.Addr)}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return h, explain("list the addresses", err)
	}
	for _, a := range addresses {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		ip = ip.Unmap()
		h.all = append(h.all, ip)
		primary := h.primary4
		if ip.Is6() {
			primary = h.primary6
		}
		if _, has := primary[a.LinkIndex]; !has && ip.IsGlobalUnicast() {
			primary[a.LinkIndex] = ip
		}
	}
	h.host4 = hostAddress(netlink.FAMILY_V4, h.primary4)
	h.host6 = hostAddress(netlink.FAMILY_V6, h.primary6)
	return h, nil
}

func hostAddress(family int, primary map[int]netip.Addr) netip.Addr {
	routes, err := netlink.RouteListFiltered(family, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	if err == nil {
		for _, r := range routes {
			if a, ok := primary[r.LinkIndex]; ok {
				return a
			}
		}
	}
	first := 0
	for ifindex := range primary {
		if first == 0 || ifindex < first {
			first = ifindex
		}
	}
	return primary[first]
}
