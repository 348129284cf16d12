// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// hostAddresses are the addresses of the current namespace.
type hostAddresses struct {
	// local are all, those included that are the host's by a route only; services are
	// those that only a frontend which names them means, by the number of their device.
	local    map[netip.Addr]maps.LocalAddress
	services map[int][]netip.Addr
	// prefixes are the host's by a route.
	prefixes []netip.Prefix
	// broadcast and anycast are other addresses that local routes name.
	broadcast, anycast []netip.Addr
	// primary are the first global addresses of each device, by ifindex.
	primary4, primary6 map[int]netip.Addr
	// host4 and host6 are those of the device with the default route, or else
	// of the first device that has one.
	host4, host6 netip.Addr
}

// listAddresses reads the addresses of the current namespace: of one device by its ifindex,
// or of all.
func listAddresses(ifindex int) ([]netlink.Addr, error) {
	var addresses []netlink.Addr
	err := dump("addresses", func() error {
		addresses = nil
		for _, family := range families {
			if err := dumpAddresses(family, ifindex, &addresses); err != nil {
				return err
			}
		}
		return nil
	})
	return addresses, err
}

func dumpAddresses(family uint8, ifindex int, addresses *[]netlink.Addr) error {
	body := make([]byte, unix.SizeofIfAddrmsg)
	body[0] = family
	copy(body[4:], uint32Bytes(ifindex))
	var failed error
	err := dumpOf("addresses", unix.RTM_GETADDR, body, func(_ uint16, data []byte) bool {
		a, err := parseAddress(data)
		if failed = err; err == nil && (ifindex == 0 || a.LinkIndex == ifindex) {
			*addresses = append(*addresses, a)
		}
		return err == nil
	})
	// The device has gone, or the kernel does not have the family.
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		err = nil
	}
	return errors.Join(failed, err)
}

// newHostAddresses computes what is known of the addresses of a namespace.
func newHostAddresses(addresses []netlink.Addr, routes *routes, local localRoutes, service serviceTest) hostAddresses {
	h := hostAddresses{
		local:    make(map[netip.Addr]maps.LocalAddress, len(addresses)),
		primary4: make(map[int]netip.Addr),
		primary6: make(map[int]netip.Addr),
	}
	var services []netlink.Addr
	first := make(map[netip.Prefix]netip.Addr)
	for _, a := range addresses {
		if a.IPNet == nil {
			continue
		}
		ip := addrFrom(a.IP)
		if !ip.IsValid() {
			continue
		}
		bits, _ := a.Mask.Size()
		if service(a.LinkIndex, bits, ip) {
			services = append(services, a)
			continue
		}
		// The kernel answers a network from the first address that it has there.
		network := netip.PrefixFrom(ip, bits).Masked()
		if _, has := first[network]; !has {
			first[network] = ip
		}
		h.local[ip] = maps.LocalAddress{Network: network, Answers: first[network]}
		primary := h.primary4
		if ip.Is6() {
			primary = h.primary6
		}
		if !ip.IsGlobalUnicast() {
			continue
		}
		// The kernel lists the newest addresses of IPv6 first. One without a network is a
		// virtual one, if the device has others.
		has, found := primary[a.LinkIndex]
		if !found || network.Bits() < ip.BitLen() && h.local[has].Network.IsSingleIP() {
			primary[a.LinkIndex] = ip
		}
	}
	for _, a := range services {
		h.noteService(a.LinkIndex, addrFrom(a.IP))
	}
	h.noteRoutes(local, service)
	h.host4 = hostAddress(routes.default4, h.primary4)
	h.host6 = hostAddress(routes.default6, h.primary6)
	return h
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
