// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/test/lab"
)

// What comes by one network card and leaves by another is served by XDP in their
// drivers, except for what has to find its way: client ── host ── server.
func TestXDPBetweenNetworkCards(t *testing.T) {
	if os.Getenv("XFWD_VM") == "" {
		t.Skip("this machine's network cards are its own; make test-vm has some for tests")
	}
	lan := lab.New(t)
	client, host, server := lan.Namespace("client"), lan.Namespace("host"), lan.Namespace("server")
	plug(t, client, "eth0", 0, 0)
	plug(t, host, "eth0", 0, 1)
	plug(t, host, "eth1", 1, 0)
	plug(t, server, "eth0", 1, 1)
	front := subnet(&lab.Network{Host: host, Client: client}, "eth0", "eth0", 70)
	near := subnet(&lab.Network{Host: host, Client: server}, "eth1", "eth0", 71)
	host.Forwarding()
	x := host.XFWD()
	for _, network := range networks {
		server.Echo(network, ":80")
	}
	publish := func() {
		for _, addr := range front.All() {
			x.Add(at(addr, 8080).String()+"/tcp+udp", at(near.Of(addr).Next(), 80).String())
		}
	}
	publish()
	for _, device := range []string{"eth0", "eth1"} {
		if hook := xdpHook(x, device); hook.Mode != "native" {
			t.Errorf("%s has XDP in mode %q: %s", device, hook.Mode, hook.Why)
		}
	}
	var conns []*lab.Conn
	for _, network := range networks {
		for _, addr := range front.All() {
			conn := client.MustConnect(network, at(addr, 8080))
			conns = append(conns, conn)
			mustEcho(t, conn)
			// The first packet of all asks who the server is, so that its next hop has
			// no more than a device, until it is looked up again in two seconds.
			lab.Eventually(t, time.Minute, func() error { return mostlyXDP(x, conn) })
		}
	}
	// Nobody has asked for XDP, but where it was and is no more, status says so.
	for _, device := range []string{"eth0", "eth1"} {
		detachXDP(t, x, host.Index(device))
		if warnings := x.Status().Warnings; len(warnings) != 1 || !strings.HasPrefix(warnings[0], "XDP does not serve "+device+": ") {
			t.Errorf("without its program on %s, status warns %q", device, warnings)
		}
		publish()
		if hook := xdpHook(x, device); hook.Mode != "native" || len(x.Status().Warnings) != 0 {
			t.Errorf("again, %s has XDP in mode %q: %s; status warns %q", device, hook.Mode, hook.Why, x.Status().Warnings)
		}
		for _, conn := range conns {
			mustEcho(t, conn)
		}
	}
	x.Do("unload")
	for _, device := range []string{"eth0", "eth1"} {
		card, err := host.Links().LinkByName(device)
		if err != nil || card.Attrs().Xdp.Attached {
			t.Errorf("after unload: XDP of %s in %s: %+v, %v", device, host.Name, card.Attrs().Xdp, err)
		}
	}
}

// detachXDP detaches our XDP program from a device, as somebody may.
func detachXDP(t *testing.T, x *lab.XFWD, ifindex int) {
	t.Helper()
	pins, err := filepath.Glob(filepath.Join(x.Root, "net-*", "links", fmt.Sprintf("%d-native", ifindex)))
	if err != nil || len(pins) != 1 {
		t.Fatalf("the link is pinned as %q: %v", pins, err)
	}
	l, err := link.LoadPinnedLink(pins[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Detach(); err != nil {
		t.Fatal(err)
	}
}

// mostlyXDP asks and is answered a hundred times, and returns an error if tc has
// seen more of that than what keeps next hops and neighbours known.
func mostlyXDP(x *lab.XFWD, conn *lab.Conn) error {
	const rounds = 100
	before := x.Status().Passes["left-to-tc"]
	for range rounds {
		if err := conn.Echo([]byte("payload")); err != nil {
			return err
		}
	}
	if left := x.Status().Passes["left-to-tc"] - before; left > rounds/4 {
		return fmt.Errorf("XDP left %d packets of %d questions and answers to tc", left, rounds)
	}
	return nil
}

func xdpHook(x *lab.XFWD, device string) lab.Hook {
	for _, hook := range x.Status().Hooks {
		if hook.Device == device && hook.Hook == "xdp" {
			return hook
		}
	}
	return lab.Hook{}
}

// plug gives a namespace the network card of the test VM at one end of a wire.
// With its last namespace a card comes back by itself.
func plug(t *testing.T, n *lab.Namespace, name string, wire, end byte) {
	t.Helper()
	address := net.HardwareAddr{0x52, 0x54, 0, 0, wire, end}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, card := range links {
		if !bytes.Equal(card.Attrs().HardwareAddr, address) {
			continue
		}
		namespace, err := os.Open(n.Path())
		if err != nil {
			t.Fatal(err)
		}
		defer namespace.Close()
		if err := netlink.LinkSetNsFd(card, int(namespace.Fd())); err != nil {
			t.Fatalf("moving %s to %s: %v", card.Attrs().Name, n.Name, err)
		}
		if err := n.Links().LinkSetName(card, name); err != nil {
			t.Fatalf("naming %s %s in %s: %v", card.Attrs().Name, name, n.Name, err)
		}
		n.Up(name)
		return
	}
	t.Fatalf("there is no network card %s", address)
}
