// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/xfwd/xfwd/test/lab"
)

// family is 4 or 6.
type family int

var bothFamilies = []family{4, 6}

func (f family) String() string { return "IPv" + strconv.Itoa(int(f)) }

// machine is somebody with an address in both families.
type machine struct{ lab.Addresses }

// The cast. The host has eth0, towards its router, eth1, and pod0.
var (
	client       = addresses("198.51.100.7", "2001:db8:51::7")
	host         = addresses("192.0.2.1", "2001:db8:2::1")
	second       = addresses("203.0.113.1", "2001:db8:3::1")     // the host on eth1
	neighbour    = addresses("192.0.2.2", "2001:db8:2::2")       // another machine beside the host
	router       = addresses("192.0.2.254", "2001:db8:2::fe")    // the host's way to the client
	pod          = addresses("10.1.0.5", "2001:db8:10::5")       // behind the host, on pod0
	gateway      = addresses("10.1.0.1", "2001:db8:10::1")       // the host on pod0
	remote       = addresses("203.0.113.9", "2001:db8:3::9")     // another machine on eth1
	besideRemote = addresses("203.0.113.10", "2001:db8:3::10")   // beside it
	besidePod    = addresses("10.1.0.6", "2001:db8:10::6")       // beside pod
	unknown      = addresses("203.0.113.99", "2001:db8:3::99")   // likewise, whose link-layer address is not known
	vip          = addresses("198.51.100.80", "2001:db8:51::80") // routed to the host, but not on it
	nowhere      = addresses("10.66.0.1", "2001:db8:66::1")      // unreachable, says the routing table
	blackhole    = addresses("10.67.0.1", "2001:db8:67::1")      // nobody shall reach it
	service      = addresses("10.96.0.10", "2001:db8:96::10")    // of a service, on the host's device for IPVS
	anycast      = addresses("192.0.3.7", "2001:db8:aa::7")      // of a network that is the host's by a route
	loopback     = addresses("127.0.0.1", "::1")
)

// cast is who the words of a forward may name.
var cast = map[string]machine{
	"client": client, "host": host, "second": second, "gateway": gateway, "neighbour": neighbour,
	"router": router, "pod": pod, "remote": remote, "unknown": unknown, "nowhere": nowhere, "blackhole": blackhole, "vip": vip, "loopback": loopback, "service": service,
}

func addresses(v4, v6 string) machine {
	return machine{lab.Addresses{V4: netip.MustParseAddr(v4), V6: netip.MustParseAddr(v6)}}
}

func machineOf(v4 [4]byte, v6 [16]byte) machine {
	return machine{lab.Addresses{V4: netip.AddrFrom4(v4), V6: netip.AddrFrom16(v6)}}
}

// address is the machine's in a family.
func (m machine) address(f family) netip.Addr {
	if f == 4 {
		return m.V4
	}
	return m.V6
}

// endpoint is a port of a machine, or `chosen`.
type endpoint struct {
	machine
	port int
}

// at is a port of the machine.
func (m machine) at(port int) endpoint { return endpoint{m, port} }

// itself is the machine as ICMP knows it, without a port.
func (m machine) itself() endpoint { return endpoint{m, 0} }

// chosen stands for the port that xfwd has chosen for a client whose own is
// taken. A case learns it from the first packet that must have it.
const chosen = -1

// spell writes a frontend or backend of a forward with an address of a family
// in place of a machine's name: vip:80 becomes [2001:db8:51::80]:80.
func spell(word string, f family) string {
	name, _, _ := strings.Cut(word, ":")
	m, named := cast[name]
	if !named {
		return word
	}
	return spellAs(m, word, f)
}

// spellAs is spell for a machine's name that is known.
func spellAs(m machine, word string, f family) string {
	_, rest, _ := strings.Cut(word, ":")
	if f == 6 {
		return "[" + m.V6.String() + "]:" + rest
	}
	return m.V4.String() + ":" + rest
}
