// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// hostAddresses are the addresses of the current namespace.
type hostAddresses struct {
	all []netip.Addr
	// onLoopback are those of the device lo that are no loopback addresses.
	onLoopback []netip.Addr
	// primary are the first global addresses of each device, by ifindex.
	primary4, primary6 map[int]netip.Addr
	// host4 and host6 are those of the device with the default route, or else
	// of the first device that has one.
	host4, host6 netip.Addr
}

// listAddresses reads the addresses of the current namespace.
func listAddresses(routes *routes) (hostAddresses, error) {
	h := hostAddresses{primary4: make(map[int]netip.Addr), primary6: make(map[int]netip.Addr)}
	var addresses []netlink.Addr
	err := dump("addresses", func() (err error) {
		addresses, err = netlink.AddrList(nil, netlink.FAMILY_ALL)
		return err
	})
	if err != nil {
		return h, err
	}
	for _, a := range addresses {
		ip := addrFrom(a.IP)
		if !ip.IsValid() {
			continue
		}
		h.all = append(h.all, ip)
		if a.LinkIndex == loopbackIndex && !ip.IsLoopback() {
			h.onLoopback = append(h.onLoopback, ip)
		}
		primary := h.primary4
		if ip.Is6() {
			primary = h.primary6
		}
		if _, has := primary[a.LinkIndex]; !has && ip.IsGlobalUnicast() {
			primary[a.LinkIndex] = ip
		}
	}
	h.host4 = hostAddress(routes.default4, h.primary4)
	h.host6 = hostAddress(routes.default6, h.primary6)
	return h, nil
}

// loopbackIndex is the number of the device lo in every namespace.
const loopbackIndex = 1

// hostAddress returns the address of the first of the devices with a default
// route that has one. If none has one, routers know the host by an address of lo, as
// in networks without addresses on links. A host without default routes is known by
// the address of its first device, and lo comes last: an address there is a VIP.
func hostAddress(defaults []int, primary map[int]netip.Addr) netip.Addr {
	for _, ifindex := range defaults {
		if a, ok := primary[ifindex]; ok {
			return a
		}
	}
	onLoopback := primary[loopbackIndex]
	if onLoopback.IsValid() && len(defaults) > 0 {
		return onLoopback
	}
	first := loopbackIndex
	for ifindex := range primary {
		if ifindex != loopbackIndex && (first == loopbackIndex || ifindex < first) {
			first = ifindex
		}
	}
	return primary[first]
}

// addrFrom returns an address as the rest of xfwd has it, or the zero Addr.
func addrFrom(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
