// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"slices"

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
	// candidates are the addresses of each device, by ifindex, that packets may
	// have as source, the best first.
	candidates map[int][]candidate
	// passing are addresses that go away by themselves.
	passing map[netip.Addr]bool
	// primary are the first of these of each device, by ifindex.
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
		local:      make(map[netip.Addr]maps.LocalAddress, len(addresses)),
		candidates: make(map[int][]candidate),
		passing:    make(map[netip.Addr]bool),
		primary4:   make(map[int]netip.Addr),
		primary6:   make(map[int]netip.Addr),
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
		h.consider(ip, a)
	}
	h.choosePrimaries()
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

// candidate is an address that packets may have as source.
type candidate struct {
	address netip.Addr
	network netip.Prefix
	rank    rank
}

// isVirtual is 1 for an address without a network, or 0.
func (c candidate) isVirtual() int {
	if c.network.IsSingleIP() {
		return 1
	}
	return 0
}

// rank says how long an address lasts.
type rank int

const (
	lasts rank = iota
	// deprecated: nothing new shall have it (RFC 4862 5.5.4).
	deprecated
	// tentative: the kernel is finding out whether another machine has it.
	tentative
	// never is a temporary one (RFC 8981), which the kernel replaces every day,
	// and one that another machine has.
	never
)

func rankOf(a netlink.Addr) rank {
	switch {
	// The flag of IPv6 has the number of another one of IPv4, of a secondary address.
	case a.IP.To4() == nil && a.Flags&unix.IFA_F_TEMPORARY != 0, a.Flags&unix.IFA_F_DADFAILED != 0:
		return never
	case a.Flags&unix.IFA_F_TENTATIVE != 0:
		return tentative
	case a.Flags&unix.IFA_F_DEPRECATED != 0:
		return deprecated
	}
	return lasts
}

// consider notes what an address may be used for.
func (h *hostAddresses) consider(ip netip.Addr, a netlink.Addr) {
	c := candidate{address: ip, rank: rankOf(a)}
	if c.rank != lasts {
		h.passing[ip] = true
	}
	if c.rank == never || !ip.IsGlobalUnicast() {
		return
	}
	ones, _ := a.Mask.Size()
	c.network = netip.PrefixFrom(ip, ones).Masked()
	h.candidates[a.LinkIndex] = append(h.candidates[a.LinkIndex], c)
}

// choosePrimaries takes the first address of each device that lasts, or the next
// best.
func (h *hostAddresses) choosePrimaries() {
	for ifindex, candidates := range h.candidates {
		// An address without a network is a virtual one, if the device has others.
		slices.SortStableFunc(candidates, func(a, b candidate) int {
			if a.rank != b.rank {
				return int(a.rank - b.rank)
			}
			return a.isVirtual() - b.isVirtual()
		})
		for _, c := range candidates {
			primary := h.primary4
			if c.address.Is6() {
				primary = h.primary6
			}
			if _, has := primary[ifindex]; !has {
				primary[ifindex] = c.address
			}
		}
	}
}

// lasting returns the address to use in place of one that the kernel would choose on
// a device: the same if it lasts, or one of the same network, or the device's, or
// the host's.
func (h *hostAddresses) lasting(source netip.Addr, ifindex int) netip.Addr {
	if !h.passing[source] {
		return source
	}
	for _, c := range h.candidates[ifindex] {
		if c.rank == lasts && c.network.Contains(source) {
			return c.address
		}
	}
	host, primary := h.host4, h.primary4[ifindex]
	if source.Is6() {
		host, primary = h.host6, h.primary6[ifindex]
	}
	if h.passing[primary] && host.IsValid() && !h.passing[host] {
		return host
	}
	return cmp.Or(primary, host)
}

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
