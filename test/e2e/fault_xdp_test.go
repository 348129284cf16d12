// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// When somebody detaches our XDP program from a device, and puts another one there,
// tc serves in its place; status names the device and who has it. A command makes the
// best of it, and puts ours back when the other one has gone.
func TestFaultXDPTakenAway(t *testing.T) {
	t.Parallel()
	site := lab.New(t).TwoArmed(1)
	server := site.Servers[0]
	finishChecksums(xdpSite(site))
	for _, network := range networks {
		server.Echo(network, ":30080")
	}
	x := site.Host.XFWD()
	add := append(append([]string{"80/tcp+udp"}, backends(server, 30080)...), "--xdp", "native", "--source", "masquerade")
	x.Add(add...)
	mode := func(device string) string { return modeOf(t, x.Status(), device, "xdp") }
	for _, device := range []string{"eth0", "eth1"} {
		if got := mode(device); got != "native" {
			t.Fatalf("XDP of %s is %s: the test does not test what it says", device, got)
		}
	}
	mustBeFine(t, x)
	load := keepTalking(site.Network, 80)
	load.mustGoOn(t, soon)
	for _, device := range []string{"eth0", "eth1"} {
		x.DetachLink(fmt.Sprintf("%d-native", site.Host.Index(device)))
		mustWarn(t, x, "XDP does not serve "+device, "lost its program", "any `xfwd add` attaches it")
		load.mustGoOn(t, soon)

		remove := site.Host.PassXDP(device)
		mustWarn(t, x, "XDP does not serve "+device, "taken by pass", "any `xfwd add` goes without it")
		load.mustGoOn(t, soon)
		x.Add(add...)
		mustWarn(t, x, "XDP does not serve "+device, "taken by pass")
		load.mustGoOn(t, soon)

		remove()
		x.Add(add...)
		mustBeFine(t, x)
		if got := mode(device); got != "native" {
			t.Errorf("XDP of %s is %s after all", device, got)
		}
		load.mustGoOn(t, soon)
	}
}
