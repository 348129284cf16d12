// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// xdpSite makes the switch and the client of a site take what XDP of the host sends, and
// returns their devices at the other ends of the host's.
func xdpSite(site *lab.Site) (ends map[*lab.Namespace]string) {
	// What XDP sends by a veth arrives only where another XDP program takes it.
	site.Switch.PassXDP("port0")
	ends = map[*lab.Namespace]string{site.Switch.Namespace: "port0"}
	if site.Device != "eth0" {
		site.Client.PassXDP("eth0")
		ends[site.Client] = "eth0"
	}
	return ends
}

// finishChecksums does what status tells users who want XDP on a veth, to the other ends.
func finishChecksums(ends map[*lab.Namespace]string) {
	for n, device := range ends {
		n.FinishChecksums(device)
	}
}

// On veths as they are made, XDP would send packets on without their checksums: the other
// ends leave these to the device. `--xdp native` is refused there with the command that
// mends it, and everything arrives, before as after.
func TestXDPOnVethsAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, p := range []place{places[0], places[2]} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			site, server := p.site(lab.New(t))
			ends := xdpSite(site)
			x := site.Host.XFWD()
			p.flags = append([]string{"--xdp", "native"}, p.flags...)
			server.Bulk(":30080")
			transfer := func(mode string) {
				t.Helper()
				p.publish(x, "80", server, 30080)
				for _, device := range []string{"eth0", site.Device} {
					if got := modeOf(t, x.Status(), device, "xdp"); got != mode {
						t.Fatalf("XDP of %s is %s, want %s", device, got, mode)
					}
				}
				for family, host := range site.HostAddr.All() {
					within(t, site.Network, family, func(t *testing.T) {
						if err := site.Client.Upload(at(host, 80), 2_000_000); err != nil {
							t.Errorf("to the server: %v", err)
						}
						if err := site.Client.Download(at(host, 80), 2_000_000); err != nil {
							t.Errorf("to the client: %v", err)
						}
					})
				}
			}
			transfer("none")
			for n, device := range ends {
				mustWarn(t, x, "XDP does not serve", "leaves checksums to it", n.Path()+" ethtool -K "+device+" tx off")
			}
			finishChecksums(ends)
			transfer("native")
			mustBeFine(t, x)
		})
	}
}

// Where XDP serves known flows, what passes is the same: content, counters and
// hops, over one device and over two. Packets come with finished checksums, as from a wire;
// all other offloads are as they are made.
func TestXDPElsewhere(t *testing.T) {
	t.Parallel()
	for _, p := range []place{places[0], places[2]} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			site, server := p.site(lab.New(t))
			finishChecksums(xdpSite(site))
			x := site.Host.XFWD()
			p.flags = append([]string{"--xdp", "native"}, p.flags...)
			p.publish(x, "80", server, 30080)
			p.publish(x, "53/udp", server, 30053)
			for _, device := range []string{"eth0", site.Device} {
				if got := modeOf(t, x.Status(), device, "xdp"); got != "native" {
					t.Fatalf("XDP of %s is %s: the test does not test what it says", device, got)
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
