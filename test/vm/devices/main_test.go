// SPDX-License-Identifier: Apache-2.0

// Package devices tests xfwd on network cards, on devices that lie on other devices
// (VLANs, bonds, VRFs, macvlans, WireGuard), over bad links, with addresses of services on
// dummy devices, and beside other parts of the kernel that translate or forward (IPVS,
// flowtables). Many a kernel is built without them; those of `make test-vm` have them all.
package devices

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// networks are the protocols that are forwarded, by their names in Go.
var networks = []string{"tcp", "udp"}

// at is a port of an address.
func at(addr netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(addr, port) }

// anyPort leaves the client's end of a connection to the kernel.
var anyPort netip.AddrPort

// addDevice makes a device and brings it up. A kernel that cannot is no failure
// of xfwd; but in a test VM the kernel is one that can.
func addDevice(t *testing.T, n *lab.Namespace, device netlink.Link) {
	t.Helper()
	err := n.Links().LinkAdd(device)
	if errors.Is(err, unix.EOPNOTSUPP) && os.Getenv("XFWD_VM") == "" {
		t.Skipf("this kernel has no %s devices; make test-vm tests them", device.Type())
	}
	if err != nil {
		t.Fatalf("making %s %s in %s: %v", device.Type(), device.Attrs().Name, n.Name, err)
	}
	n.Up(device.Attrs().Name)
}

// subnet gives devices of host and client addresses in a subnet of their own, and
// returns the host's.
func subnet(net *lab.Network, hostDevice, clientDevice string, number byte) lab.Addresses {
	host := lab.Addresses{
		V4: netip.AddrFrom4([4]byte{198, 19, number, 1}),
		V6: netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 4: 0x19, 5: number, 15: 1}),
	}
	for _, addr := range host.All() {
		bits := map[int]int{32: 24, 128: 64}[addr.BitLen()]
		net.Host.Address(hostDevice, netip.PrefixFrom(addr, bits))
		net.Client.Address(clientDevice, netip.PrefixFrom(addr.Next(), bits))
	}
	return host
}

// publish has the host serve both protocols at :30080 and publishes them at :80.
func publish(host *lab.Namespace, flags ...string) *lab.XFWD {
	for _, network := range networks {
		host.Echo(network, ":30080")
	}
	x := host.XFWD()
	x.Add(append([]string{"80/tcp+udp", "30080"}, flags...)...)
	return x
}

// mustReach connects to the published ports, and fails the test unless that works
// and the server sees the client.
func mustReach(t *testing.T, client *lab.Namespace, hosts lab.Addresses) {
	t.Helper()
	for _, network := range networks {
		for _, host := range hosts.All() {
			mustPublish(t, client, network, host)
		}
	}
}

// mustTellApart connects to the published ports and, from the same port of the
// client, to those behind them. The replies of both are alike but for what xfwd
// knows of them, so that a reply which met two programs would go astray.
func mustTellApart(t *testing.T, client *lab.Namespace, hosts lab.Addresses) {
	t.Helper()
	for _, network := range networks {
		for family, host := range hosts.All() {
			published := mustPublish(t, client, network, host)
			direct, err := client.Connect(network, at(host, 30080), published.Local())
			if err != nil {
				t.Fatalf("%s %s: to the target itself: %v", network, family, err)
			}
			mustEcho(t, direct)
			mustEcho(t, published)
		}
	}
}

func mustPublish(t *testing.T, client *lab.Namespace, network string, host netip.Addr) *lab.Conn {
	t.Helper()
	from := at(netip.IPv4Unspecified(), uint16(clientPort.Add(1)))
	if host.Is6() {
		from = at(netip.IPv6Unspecified(), from.Port())
	}
	conn, err := client.Connect(network, at(host, 80), from)
	if err != nil {
		t.Fatalf("%s to %v: %v", network, host, err)
	}
	mustEcho(t, conn)
	if conn.Client != conn.Local() {
		t.Errorf("%s to %v: the server saw %v as the client, which is %v", network, host, conn.Client, conn.Local())
	}
	return conn
}

// clientPort is the port from which a client connected last. It begins below
// those that the kernel chooses.
var clientPort atomic.Uint32

func init() { clientPort.Store(20000) }

func mustEcho(t *testing.T, conn *lab.Conn) {
	t.Helper()
	for range 3 {
		if err := conn.Echo([]byte("payload")); err != nil {
			t.Fatalf("%v ↔ %v: %v", conn.Local(), conn.RemoteAddr(), err)
		}
	}
}

// mustCount fails the test unless each protocol has had that many connections:
// a packet that met two programs would count twice.
func mustCount(t *testing.T, x *lab.XFWD, opened uint64) {
	t.Helper()
	for _, network := range networks {
		if got := x.Counters("80/" + network).Connections.Opened; got != opened {
			t.Errorf("%s: %d connections were counted, want %d", network, got, opened)
		}
	}
	mustDropOnly(t, x)
}

// mustDropOnly fails the test if packets were dropped for other reasons.
func mustDropOnly(t *testing.T, x *lab.XFWD, reasons ...string) {
	t.Helper()
	for reason, packets := range x.Status().Drops {
		if packets != 0 && !slices.Contains(reasons, reason) {
			t.Errorf("%d packets were dropped: %s", packets, reason)
		}
	}
}

// needVM skips a test of what many a kernel lacks, or of what belongs to the machine.
func needVM(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("XFWD_VM") == "" {
		t.Skipf("make test-vm has %s for tests", what)
	}
}

// mustAttach fails the test unless exactly these of the devices are attached.
func mustAttach(t *testing.T, x *lab.XFWD, want map[string]bool) {
	t.Helper()
	attached := map[string]int{}
	for _, hook := range x.Status().Hooks {
		if hook.Mode != "none" {
			attached[hook.Device]++
		}
	}
	for device, yes := range want {
		if directions := attached[device]; yes != (directions == 2) || !yes && directions != 0 {
			t.Errorf("%s is attached in %d directions", device, directions)
		}
	}
}
