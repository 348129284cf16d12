// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// Where XDP serves known flows, what passes is the same: content, counters and
// hops, over one device and over two. Offloads are off, for a veth hands XDP
// checksums that nobody has finished.
func TestXDPElsewhere(t *testing.T) {
	t.Parallel()
	for _, p := range []place{places[0], places[2]} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			site, server := p.site(lab.New(t))
			site.Offloads(false)
			// What XDP sends by a veth arrives only where another XDP program takes it.
			site.Switch.PassXDP("port0")
			devices := []string{"eth0"}
			if site.Device != "eth0" {
				site.Client.PassXDP("eth0")
				devices = append(devices, site.Device)
			}
			x := site.Host.XFWD()
			p.flags = append([]string{"--xdp", "native"}, p.flags...)
			p.publish(x, "80", server, 30080)
			p.publish(x, "53/udp", server, 30053)
			for _, hook := range x.Status().Hooks {
				if hook.Hook == "xdp" && (hook.Device == devices[0] || hook.Device == devices[len(devices)-1]) && hook.Mode != "native" {
					t.Fatalf("%+v: the test does not test what it says", hook)
				}
			}
			server.Bulk(":30080")
			server.Echo("udp", ":30053")
			for family, host := range site.HostAddr.All() {
				within(t, site.Network, family, func(t *testing.T) {
					// A flow to a neighbour that is not known yet is tc's.
					mustEcho(t, site.Client.MustConnect("udp", at(host, 53)))
					// XDP comes before a capture, tc after it.
					left := site.Host.Capture("eth0")
					before, capture := x.Counters("80"), site.Client.Capture("eth0")
					if err := site.Client.Upload(at(host, 80), 10_000_000); err != nil {
						t.Errorf("to the server: %v", err)
					}
					if err := site.Client.Download(at(host, 80), 10_000_000); err != nil {
						t.Errorf("to the client: %v", err)
					}
					compareCounters(t, x, "80", before, capture, 80)
					if all, toTC := len(capture.Stop()), towards(left.Stop(), 80); toTC > all/10 {
						t.Errorf("tc saw %d of %d packets: the test does not test what it says", toTC, all)
					}

					capture = site.Client.Capture("eth0")
					conn := site.Client.MustConnect("udp", at(host, 53))
					for size := range 1000 {
						if err := conn.Echo(make([]byte, size)); err != nil {
							t.Fatalf("%d bytes: %v", size, err)
						}
						p.mustSee(t, site, conn)
					}
					// Fragments are left to tc.
					if err := conn.Echo(make([]byte, 5000)); err != nil {
						t.Error(err)
					}
					for _, packet := range capture.Stop() {
						if !packet.Outgoing && packet.TransportLayer() != nil && !isFragment(packet) {
							verifyChecksums(t, packet)
							if hops := hopsLeft(packet); hops != 63 {
								t.Fatalf("a packet arrives with %d hops left, want 63: %v", hops, packet)
							}
						}
					}
				})
			}
		})
	}
}
