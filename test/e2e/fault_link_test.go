// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/netip"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// While the device that leads to a backend is down, the other one serves as ever,
// nothing goes to it that was the first one's, and status says which has no route. When
// it is up again, so are the connections of before.
func TestFaultLinkDown(t *testing.T) {
	t.Parallel()
	f, load, of := fleetUnderFault(t)
	f.Host.Sysctl("net.ipv6.conf.pod0.keep_addr_on_down", "1")
	since := time.Now()
	f.Host.Down("pod0")
	for _, addr := range f.pods[0].Addr.All() {
		mustWarn(t, f.xfwd, "there is no route to "+addr.String(), "clients are refused until there is one")
	}
	mustBeSilent(t, of[0])
	mustGoOn(t, of[1], soon)
	f.mustServeOnly(t, 80, 1)
	f.Host.Up("pod0")
	load.mustGoOn(t, again(since))
	f.mustServeOnly(t, 80, 0, 1)
	mustBeFine(t, f.xfwd)
}

// The same where a cable is pulled at the other end: there is a route, and no
// carrier.
func TestFaultCarrierLost(t *testing.T) {
	t.Parallel()
	f, load, of := fleetUnderFault(t)
	pod := f.pods[0]
	pod.Sysctl("net.ipv6.conf.eth0.keep_addr_on_down", "1")
	since := time.Now()
	pod.Down("eth0")
	for _, addr := range pod.Addr.All() {
		mustWarn(t, f.xfwd, addr.String(), "pod0 has no carrier")
	}
	mustBeSilent(t, of[0])
	mustGoOn(t, of[1], soon)
	f.mustServeOnly(t, 80, 1)
	pod.Up("eth0")
	routeByHost(pod)
	load.mustGoOn(t, again(since))
	f.mustServeOnly(t, 80, 0, 1)
	mustBeFine(t, f.xfwd)
}

// routeByHost has a pod send everything by its host, which has the first address of
// their subnet.
func routeByHost(pod lab.Pod) {
	for _, addr := range pod.Addr.All() {
		everywhere := netip.IPv6Unspecified()
		if addr.Is4() {
			everywhere = netip.IPv4Unspecified()
		}
		pod.ReplaceRoute(netip.PrefixFrom(everywhere, 0), addr.Prev())
	}
}

// When the clients' side is down, nobody is answered, and all go on when it is up.
func TestFaultClientsLinkDown(t *testing.T) {
	t.Parallel()
	f, load, _ := fleetUnderFault(t)
	f.Host.Sysctl("net.ipv6.conf.eth0.keep_addr_on_down", "1")
	for range 2 {
		since := time.Now()
		f.Host.Down("eth0")
		mustBeSilent(t, load.conns)
		mustBeFine(t, f.xfwd)
		f.Host.Up("eth0")
		load.mustGoOn(t, again(since))
	}
	f.mustServeOnly(t, 80, 0, 1)
}
