// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// Path MTU discovery works through the frontend with a smaller link on the way,
// in both directions of the data.
func TestPathMTUDiscovery(t *testing.T) {
	t.Parallel()
	for _, direction := range []struct {
		name     string
		transfer func(*lab.Namespace, netip.AddrPort, uint64) error
		// sender is who must hear of the smaller MTU.
		sender func(*lab.Network) *lab.Namespace
	}{
		{"to the client", (*lab.Namespace).Download, func(n *lab.Network) *lab.Namespace { return n.Host }},
		{"to the host", (*lab.Namespace).Upload, func(n *lab.Network) *lab.Namespace { return n.Client }},
	} {
		t.Run(direction.name, func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Routed(1400)
			net.Host.Bulk(":30080")
			net.Host.XFWD().Add("80", "30080")
			for family, host := range net.HostAddr.All() {
				within(t, net, family, func(t *testing.T) {
					capture := direction.sender(net).Capture("eth0")
					if err := direction.transfer(net.Client, at(host, 80), 3_000_000); err != nil {
						t.Error(err)
					}
					if len(lab.TooBig(capture.Stop())) == 0 {
						t.Error("no router said that a packet is too big: the test does not test what it says")
					}
				})
			}
		})
	}
}

// Path MTU discovery works through the frontend also where another translator
// behind it sends packets on, over a smaller link: what the host says about a
// packet bears the port that the client used.
func TestPathMTUDiscoveryBehindNodePort(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	net := lab.New(t).Direct()
	pods := net.Pods(2, 1300)
	nodePort(net, pods, 30080, 8080)
	for _, pod := range pods {
		pod.Bulk(":8080")
	}
	net.Host.XFWD().Add("80", "30080")
	for family, host := range net.HostAddr.All() {
		within(t, net, family, func(t *testing.T) {
			capture := net.Client.Capture("eth0")
			if err := net.Client.Upload(at(host, 80), 3_000_000); err != nil {
				t.Error(err)
			}
			quotes := lab.TooBig(capture.Stop())
			if len(quotes) == 0 {
				t.Error("the host did not say that a packet is too big: the test does not test what it says")
			}
			for _, quote := range quotes {
				if quote != at(host, 80) {
					t.Errorf("the host spoke of a packet to %v", quote)
				}
			}
		})
	}
}

// A refused backend port is refused at once, as if the frontend's port were
// closed.
func TestClosedTargetRefuses(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	for _, vip := range net.VIP.All() {
		x.Add(frontend(vip, "80/tcp+udp"), "30080")
	}
	for _, network := range networks {
		for family, host := range net.HostAddr.All() {
			for _, addr := range []netip.Addr{host, net.VIP.Of(host)} {
				within(t, net, network+" "+family+" "+addr.String(), func(t *testing.T) {
					start := time.Now()
					_, err := net.Client.Connect(network, at(addr, 80), anyPort)
					if !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("%v, want a refusal", err)
					}
					if elapsed := time.Since(start); elapsed > time.Second {
						t.Errorf("the refusal took %v", elapsed)
					}
				})
			}
		}
	}
}

// A time exceeded that an answer of the target caused, on its way to the client,
// reaches the application's socket.
func TestTimeExceededOnTheWayToTheClient(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Routed(1500)
	net.Host.XFWD().Add("53/udp", "30053")
	for family, host := range net.HostAddr.All() {
		within(t, net, family, func(t *testing.T) {
			server := net.Host.ListenUDP(at(host, 30053).String())
			setTTL(t, server, host, 1)
			client, err := net.Client.Dial("udp", at(host, 53), anyPort)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if _, err := client.Write([]byte("question")); err != nil {
				t.Fatal(err)
			}
			server.SetReadDeadline(time.Now().Add(lab.Patience))
			_, from, err := server.ReadFromUDPAddrPort(make([]byte, 100))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := server.WriteToUDPAddrPort([]byte("answer"), from); err != nil {
				t.Fatal(err)
			}
			errno, sender := icmpError(t, server)
			if router := net.FarAddr.Of(host); errno != syscall.EHOSTUNREACH || sender != router {
				t.Errorf("%v from %v, want %v from %v", errno, sender, syscall.EHOSTUNREACH, router)
			}
		})
	}
}

// A time exceeded that the host itself sends about a packet to the frontend,
// because another translator sends it on, reaches the client's socket.
func TestTimeExceededBehindNodePort(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	net := lab.New(t).Direct()
	nodePort(net, net.Pods(2, 1500), 30053, 5353)
	net.Host.XFWD().Add("53/udp", "30053")
	for family, host := range net.HostAddr.All() {
		within(t, net, family, func(t *testing.T) {
			client, err := net.Client.Dial("udp", at(host, 53), anyPort)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			setTTL(t, client, host, 1)
			if _, err := client.Write([]byte("question")); err != nil {
				t.Fatal(err)
			}
			errno, sender := icmpError(t, client)
			if errno != syscall.EHOSTUNREACH || sender != host {
				t.Errorf("%v from %v, want %v from %v", errno, sender, syscall.EHOSTUNREACH, host)
			}
		})
	}
}

// tracepath to a frontend finds every router, the path MTU, and its end.
func TestTracepath(t *testing.T) {
	t.Parallel()
	lab.Need(t, "tracepath")
	net := lab.New(t).Routed(1400)
	net.Host.XFWD().Add("44444-44500/udp", "30444")
	for family, host := range net.HostAddr.All() {
		within(t, net, family, func(t *testing.T) {
			output := net.Client.Run("tracepath", "-n", "-m", "8", "-p", "44444", host.String())
			for _, want := range []string{"pmtu 1400", "reached", "hops 3 back 3"} {
				if !strings.Contains(output, want) {
					t.Errorf("%q is missing in\n%s", want, output)
				}
			}
		})
	}
}
