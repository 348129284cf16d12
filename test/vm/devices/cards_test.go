// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// The wires of test VMs, as test/vm/qemu.go has them. At end 0 is a virtio card for
// who is no host of xfwd, at end 1 one of the kind that is tested.
const (
	virtioWire1 = iota
	virtioWire2
	vmxnet3Wire1
	vmxnet3Wire2
	oldWire
	wires
)

// card is a kind of network card of which test VMs have two.
type card struct {
	driver string
	// wires lead to the client and to the server.
	wires [2]byte
	// xdpSince is the first Linux whose driver runs XDP programs, framesSince the first
	// that does so with frames of several buffers.
	xdpSince, framesSince version
}

var (
	virtio = card{
		driver: "virtio_net", wires: [2]byte{virtioWire1, virtioWire2},
		xdpSince: version{4, 10}, framesSince: version{6, 3},
	}
	vmxnet3 = card{
		driver: "vmxnet3", wires: [2]byte{vmxnet3Wire1, vmxnet3Wire2},
		xdpSince: version{6, 6}, framesSince: never,
	}
)

// version is one of Linux.
type version struct{ major, minor int }

// never is later than any Linux that there is.
var never = version{major: 1 << 16}

// runs says whether the kernel is of this version or a later one.
func (v version) runs(t *testing.T) bool {
	t.Helper()
	var name unix.Utsname
	var running version
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &running.major, &running.minor); err != nil {
		t.Fatal(err)
	}
	return running.major > v.major || running.major == v.major && running.minor >= v.minor
}

// cardSite is client ── host ── server, with each kind of card of the host on either
// side, and the old card on the client's.
type cardSite struct {
	*lab.Lab
	client, host, server *lab.Namespace
	// front are the host's addresses on each wire, far those at its other end.
	front, far [wires]lab.Addresses
	x          *lab.XFWD
}

func newCardSite(t *testing.T) *cardSite {
	t.Helper()
	lan := lab.New(t)
	s := &cardSite{
		Lab:    lan,
		client: lan.Namespace("client"), host: lan.Namespace("host"), server: lan.Namespace("server"),
	}
	for wire := range byte(wires) {
		other := s.client
		if wire == virtioWire2 || wire == vmxnet3Wire2 {
			other = s.server
		}
		plug(t, other, device(wire), wire, 0)
		plug(t, s.host, device(wire), wire, 1)
		s.front[wire] = s.host.Join(device(wire), 70+int(wire), 1)
		s.far[wire] = other.Join(device(wire), 70+int(wire), 2)
	}
	s.host.Forwarding()
	for _, n := range []*lab.Namespace{s.client, s.server} {
		for _, network := range networks {
			n.Echo(network, ":80")
		}
		n.Bulk(":81")
	}
	s.x = s.host.XFWD()
	return s
}

// device is the name of both cards of a wire.
func device(wire byte) string { return fmt.Sprintf("wire%d", wire) }

// way is one from the client through the host to an echo and a bulk server, whose
// ports follow each other.
type way struct {
	// in and out are the wires.
	in, out byte
	port    uint16
}

// frontend is that of its forward, for a protocol or both.
func (w way) frontend(protocol string) string {
	return fmt.Sprintf("%d-%d/%s", w.port, w.port+1, protocol)
}

// publish has the host publish the servers at the ends of ways, and tells what it says
// about the XDP hooks of its devices.
func (s *cardSite) publish(ways []way, flags ...string) map[string]lab.Hook {
	for _, w := range ways {
		words := []string{w.frontend("tcp+udp")}
		for _, addr := range s.far[w.out].All() {
			words = append(words, at(addr, 80).String()+"-81")
		}
		s.x.Add(append(words, flags...)...)
	}
	hooks := make(map[string]lab.Hook)
	for _, hook := range s.x.Status().Hooks {
		if hook.Hook == "xdp" {
			hooks[hook.Device] = hook
		}
	}
	return hooks
}

// mustCarry uses the servers at the end of a way, by both families: the same content
// must arrive in both directions.
func (s *cardSite) mustCarry(t *testing.T, w way) {
	t.Helper()
	for _, host := range s.front[w.in].All() {
		for _, network := range networks {
			mustEcho(t, s.client.MustConnect(network, at(host, w.port)))
		}
		s.mustTransfer(t, at(host, w.port+1))
	}
}

// transferSize is enough for what is special about the first packets not to matter.
const transferSize = 400_000

func (s *cardSite) mustTransfer(t *testing.T, bulk netip.AddrPort) {
	t.Helper()
	if err := s.client.Upload(bulk, transferSize); err != nil {
		t.Errorf("to the server by %v: %v", bulk, err)
	}
	if err := s.client.Download(bulk, transferSize); err != nil {
		t.Errorf("to the client by %v: %v", bulk, err)
	}
}

// sentByXDP is how many frames programs in the drivers of a way's cards have sent, by
// that card or another, as the drivers count.
func (s *cardSite) sentByXDP(w way) (frames uint64) {
	if w.in == w.out {
		return s.driverCounts(w.in, "xdp_tx")
	}
	return s.driverCounts(w.in, "xdp_redirects") + s.driverCounts(w.out, "xdp_redirects")
}

func (s *cardSite) driverCounts(wire byte, what string) (sum uint64) {
	for name, count := range s.host.DriverCounters(device(wire)) {
		if strings.HasSuffix(name, what) {
			sum += count
		}
	}
	return sum
}

// state describes the host's cards, without what they have carried.
func (s *cardSite) state() (text string) {
	for wire := range byte(wires) {
		text += s.host.Run("ip", "-details", "link", "show", "dev", device(wire))
		text += fmt.Sprintf("    features %x\n", s.host.Features(device(wire)))
	}
	return text
}

// plug gives a namespace the network card of the test VM at one end of a wire. The end
// of the test brings it back: with the namespace it would come by itself, but sockets
// that nobody has any more may keep that for minutes.
func plug(t *testing.T, n *lab.Namespace, name string, wire, end byte) {
	t.Helper()
	outside, err := netlink.NewHandle()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(outside.Close)
	address := net.HardwareAddr{0x52, 0x54, 0, 0, wire, end}
	back := moveCard(t, outside, address, n.Path(), n.Links(), name)
	n.Up(name)
	t.Cleanup(func() {
		n.Down(name)
		moveCard(t, n.Links(), address, "/proc/thread-self/ns/net", outside, back)
	})
}

// moveCard moves the card with an address to a namespace, gives it a name there, and
// returns the one that it had.
func moveCard(t *testing.T, from *netlink.Handle, address net.HardwareAddr, path string, to *netlink.Handle, name string) (old string) {
	t.Helper()
	card := cardWith(t, from, address)
	// Whoever has that name there must not be in the way.
	if err := from.LinkSetName(card, "card"); err != nil {
		t.Fatalf("naming %s: %v", card.Attrs().Name, err)
	}
	namespace, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer namespace.Close()
	if err := from.LinkSetNsFd(card, int(namespace.Fd())); err != nil {
		t.Fatalf("moving %s to %s: %v", card.Attrs().Name, path, err)
	}
	// It may have another index there.
	if err := to.LinkSetName(cardWith(t, to, address), name); err != nil {
		t.Fatalf("naming %s %s in %s: %v", card.Attrs().Name, name, path, err)
	}
	return card.Attrs().Name
}

func cardWith(t *testing.T, links *netlink.Handle, address net.HardwareAddr) netlink.Link {
	t.Helper()
	all, err := links.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(l netlink.Link) bool { return bytes.Equal(l.Attrs().HardwareAddr, address) })
	if i < 0 {
		t.Fatalf("there is no network card %s", address)
	}
	return all[i]
}
