// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// flowtable has netfilter take established connections of the host's devices past its
// own hooks; what passes these is counted. Port 30080 is that of a pod.
const flowtable = `
table inet neighbour {
	counter seen { }
	flowtable fast {
		hook ingress priority 0
		devices = { eth0, pod0, pod1 }
	}
	chain forward {
		type filter hook forward priority filter
		ct state established meta l4proto { tcp, udp } flow add @fast
		counter name seen
	}
	chain prerouting {
		type nat hook prerouting priority dstnat
		fib daddr type local meta l4proto { tcp, udp } th dport 30080 dnat ip to %v:8080
		fib daddr type local meta l4proto { tcp, udp } th dport 30080 dnat ip6 to [%v]:8080
	}
}
`

// A flowtable of the host carries what a forward hands to a NodePort, and what is no
// business of ours, and neither what it carries nor what leaves the host by us goes
// astray or is counted wrong.
func TestFlowtable(t *testing.T) {
	t.Parallel()
	needVM(t, "flowtables")
	lab.Need(t, "nft")
	net := lab.New(t).Direct()
	pods := net.Pods(2, 1500)
	net.Client.DefaultRoutes(net.HostAddr)
	net.Host.Run("nft", fmt.Sprintf(flowtable, pods[0].Addr.V4, pods[0].Addr.V6))
	for _, pod := range pods {
		for _, network := range networks {
			pod.Echo(network, ":8080")
		}
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	x.Add("81/tcp+udp", at(pods[1].Addr.V4, 8080).String(), at(pods[1].Addr.V6, 8080).String())
	for family, host := range net.HostAddr.All() {
		for name, to := range map[string]netip.AddrPort{
			"NodePort":       at(host, 80),
			"past netfilter": at(host, 81),
			"no forward":     at(pods[1].Addr.Of(host), 8080),
		} {
			for _, network := range networks {
				t.Run(network+" "+family+" "+name, func(t *testing.T) {
					net.Lab.Within(t)
					conn := mustConnectAsSeen(t, net.Client, network, to)
					mustPassQuickly(t, net.Host, conn, name != "past netfilter")
				})
			}
		}
	}
	for _, port := range []string{"80", "81"} {
		for _, network := range networks {
			counters := x.Counters(port + "/" + network)
			if counters.Connections.Opened != 2 {
				t.Errorf("%s/%s: %d connections were counted, want 2", port, network, counters.Connections.Opened)
			}
			// Each family has a first question, three more, and the rounds.
			if want := uint64(2 * (1 + 3 + rounds)); network == "udp" &&
				(counters.Forward.Packets != want || counters.Reverse.Packets != want) {
				t.Errorf("%s/%s: %+v were counted, want %d packets", port, network, counters, want)
			}
		}
	}
	mustDropOnly(t, x)
}

// rounds are enough to tell a few packets from all.
const rounds = 50

// mustPassQuickly fails the test if netfilter sees more than a few packets of a
// connection, or, if it is to see these, none.
func mustPassQuickly(t *testing.T, host *lab.Namespace, conn *lab.Conn, some bool) {
	t.Helper()
	for range rounds {
		if err := conn.Echo([]byte("payload")); err != nil {
			t.Fatal(err)
		}
	}
	packets, err := strconv.Atoi(counted.FindStringSubmatch(host.Run("nft", "reset", "counters"))[1])
	if err != nil {
		t.Fatal(err)
	}
	if packets > rounds/2 || some == (packets == 0) {
		t.Errorf("netfilter saw %d packets of %d questions and answers", packets, rounds)
	}
}

var counted = regexp.MustCompile(`packets (\d+)`)
