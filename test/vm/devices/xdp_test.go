// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"

	"github.com/xfwd/xfwd/test/lab"
)

// What comes by one network card and leaves by another, or by the same, is served by
// XDP in their drivers, except for what has to find its way. Where a driver refuses the
// program, tc serves all of it and xfwd says why. In the end the cards are as before.
func TestXDP(t *testing.T) {
	needVM(t, "network cards")
	s := newCardSite(t)
	before := s.state()
	ways := map[string]way{
		"virtio_net to another": {virtioWire1, virtioWire2, 1000},
		"virtio_net by itself":  {virtioWire1, virtioWire1, 2000},
		"vmxnet3 to another":    {vmxnet3Wire1, vmxnet3Wire2, 3000},
		"vmxnet3 by itself":     {vmxnet3Wire1, vmxnet3Wire1, 4000},
	}
	hooks := s.publish(slices.Collect(maps.Values(ways)))
	for _, c := range []card{virtio, vmxnet3} {
		for _, wire := range c.wires {
			if c.xdpSince.runs(t) {
				mustBeNative(t, hooks[device(wire)], c)
			} else {
				mustBeRefused(t, hooks[device(wire)], c, "not support")
			}
		}
	}
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			s.Within(t)
			s.mustCarry(t, w)
			if hooks[device(w.in)].Mode == "native" {
				s.mustServeByXDP(t, w)
			}
		})
	}
	t.Run("by a card that refuses", func(t *testing.T) {
		s.Within(t)
		mustBeRefused(t, hooks[device(oldWire)], virtio, "any_header_sg required")
		s.mustCarry(t, way{oldWire, virtioWire2, 1000})
	})
	t.Run("hook of somebody else", func(t *testing.T) {
		s.Within(t)
		testOccupied(t, s, ways["virtio_net to another"])
	})
	t.Run("hook that has lost its program", func(t *testing.T) {
		s.Within(t)
		testDetached(t, s, ways["virtio_net to another"])
	})
	s.x.Do("unload")
	if after := s.state(); after != before {
		t.Errorf("the cards before:\n%safter:\n%s", before, after)
	}
	s.host.Echo("udp", ":80")
	for _, w := range ways {
		for _, host := range s.front[w.in].All() {
			mustEcho(t, s.client.MustConnect("udp", at(host, 80)))
		}
	}
}

// testOccupied: a program of somebody else in the driver stays there, and is named. The
// hook is ours again with the first command after it has gone.
func testOccupied(t *testing.T, s *cardSite, w way) {
	d := device(w.in)
	s.publish([]way{w}, "--xdp", d+"=off")
	remove := s.host.PassXDP(d)
	hooks := s.publish([]way{w}, "--xdp", d+"=auto")
	if hook := hooks[d]; hook.Mode != "none" || !strings.HasPrefix(hook.Why, "tc alone: the XDP hook is taken by pass (program id ") {
		t.Errorf("%+v", hook)
	}
	mustBeNative(t, hooks[device(w.out)], virtio)
	s.mustCarry(t, w)
	card, err := s.host.Links().LinkByName(d)
	if err != nil || card.Attrs().Xdp == nil || !strings.Contains(hooks[d].Why, fmt.Sprintf("(program id %d)", card.Attrs().Xdp.ProgId)) {
		t.Errorf("%s runs %+v (%v): %s", d, card.Attrs().Xdp, err, hooks[d].Why)
	}
	remove()
	mustBeNative(t, s.publish([]way{w})[d], virtio)
	s.mustServeByXDP(t, w)
}

// testDetached: nobody has asked for XDP, but where it was and is no more, status says
// so, and the next command brings it back. What XDP of the other card sends by this one
// may be lost until then.
func testDetached(t *testing.T, s *cardSite, w way) {
	for _, wire := range []byte{w.in, w.out} {
		d := device(wire)
		warned := func() bool {
			return slices.ContainsFunc(s.x.Status().Warnings, func(warning string) bool {
				return strings.HasPrefix(warning, "XDP does not serve "+d+": ")
			})
		}
		detachXDP(t, s.x, s.host.Index(d))
		if !warned() {
			t.Errorf("without its program on %s, status warns %q", d, s.x.Status().Warnings)
		}
		mustBeNative(t, s.publish([]way{w})[d], virtio)
		s.mustCarry(t, w)
		if warned() {
			t.Errorf("with its program on %s, status warns %q", d, s.x.Status().Warnings)
		}
	}
	s.mustServeByXDP(t, w)
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

// Frames of 9000 bytes are served by XDP where the driver takes programs for frames of
// several buffers, and by tc where it does not.
func TestXDPOnLargeFrames(t *testing.T) {
	needVM(t, "network cards")
	const mtu = 9000
	s := newCardSite(t)
	for wire := range byte(wires) {
		for _, n := range []*lab.Namespace{s.client, s.host, s.server} {
			if _, err := n.Links().LinkByName(device(wire)); err == nil {
				n.MTU(device(wire), mtu)
			}
		}
	}
	ways := map[card]way{virtio: {virtioWire1, virtioWire2, 1000}, vmxnet3: {vmxnet3Wire1, vmxnet3Wire2, 3000}}
	hooks := s.publish(slices.Collect(maps.Values(ways)))
	for c, w := range ways {
		t.Run(c.driver, func(t *testing.T) {
			s.Within(t)
			for _, wire := range c.wires {
				if c.framesSince.runs(t) {
					mustBeNative(t, hooks[device(wire)], c)
				} else {
					mustBeRefused(t, hooks[device(wire)], c, "; its MTU is 9000")
				}
			}
			if c == vmxnet3 {
				return // QEMU's loses frames of several buffers, whoever is to receive them
			}
			s.mustCarry(t, w)
			if c.framesSince.runs(t) {
				s.mustServeByXDP(t, w)
			}
			if got := s.x.Counters(w.frontend("tcp")).Forward; got.Bytes < got.Packets*1500 {
				t.Errorf("%+v: the frames are small: the test does not test what it says", got)
			}
		})
	}
}

// mustServeByXDP uses the servers at the end of a way, and fails the test unless XDP
// sends nearly all of that and tc sees next to nothing.
func (s *cardSite) mustServeByXDP(t *testing.T, w way) {
	t.Helper()
	for _, host := range s.front[w.in].All() {
		for _, network := range networks {
			conn := s.client.MustConnect(network, at(host, w.port))
			// The first packet of all asks who the server is, so that its next hop has
			// no more than a device, until it is looked up again in two seconds.
			lab.Eventually(t, time.Minute, func() error { return s.mostlyXDP(conn, w) })
		}
	}
	counted, sent := s.x.Counters(w.frontend("tcp")), s.sentByXDP(w)
	captures := map[byte]*lab.Capture{w.in: s.host.Capture(device(w.in))}
	if w.out != w.in {
		captures[w.out] = s.host.Capture(device(w.out))
	}
	for _, host := range s.front[w.in].All() {
		s.mustTransfer(t, at(host, w.port+1))
	}
	seen := 0
	for _, capture := range captures {
		seen += len(capture.Stop())
	}
	sent = s.sentByXDP(w) - sent
	after := s.x.Counters(w.frontend("tcp"))
	all := after.Forward.Packets - counted.Forward.Packets + after.Reverse.Packets - counted.Reverse.Packets
	if all < 4*transferSize/9000 || sent < all/2 || uint64(seen) > all/2 {
		t.Errorf("of %d packets XDP has sent %d, and tc seen %d", all, sent, seen)
	}
}

// mostlyXDP asks and is answered some times, and returns an error if XDP has sent less
// of that than nearly all.
func (s *cardSite) mostlyXDP(conn *lab.Conn, w way) error {
	const rounds = 50
	before := s.sentByXDP(w)
	for range rounds {
		if err := conn.Echo([]byte("payload")); err != nil {
			return err
		}
	}
	if sent := s.sentByXDP(w) - before; sent < 2*rounds*3/4 {
		return fmt.Errorf("XDP sent %d packets of %d questions and answers", sent, rounds)
	}
	return nil
}

// mustBeNative fails the test unless a device has our program in its driver.
func mustBeNative(t *testing.T, hook lab.Hook, c card) {
	t.Helper()
	if hook.Mode != "native" || hook.Why != "in the driver "+c.driver+", for what leaves this host again" {
		t.Errorf("%s has XDP in mode %s: %s", hook.Device, hook.Mode, hook.Why)
	}
}

// mustBeRefused fails the test unless a device's driver has refused our program, for
// that reason.
func mustBeRefused(t *testing.T, hook lab.Hook, c card, reason string) {
	t.Helper()
	begins := "tc alone: the driver " + c.driver + " refuses native XDP: "
	if hook.Mode != "none" || !strings.HasPrefix(hook.Why, begins) || !strings.Contains(hook.Why, reason) {
		t.Errorf("%s has XDP in mode %s: %s; want %s… %s", hook.Device, hook.Mode, hook.Why, begins, reason)
	}
}
