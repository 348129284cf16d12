// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// status lists every device and hook, how it was attached and why.
func TestStatusListsEveryHook(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.SecondLink()
	x := net.Host.XFWD()
	if status := x.Status(); status.Loaded || status.Forwards != 0 {
		t.Errorf("before anything is loaded: %+v", status)
	}
	x.Add("80/tcp+udp", "30080")
	status := x.Status()
	if !status.Loaded || status.Forwards != 2 || status.Flows.MaxFlows != 4096 || status.Kernel == "" || status.Version == "" {
		t.Errorf("%+v", status)
	}
	modes := []string{"tcx", "clsact"}
	for _, device := range []string{"eth0", "eth1"} {
		for _, hook := range []string{"ingress", "egress"} {
			if mode := modeOf(t, status, device, hook); !slices.Contains(modes, mode) {
				t.Errorf("%s %s is attached by %q, want one of %v", device, hook, mode, modes)
			}
		}
	}
	for _, hook := range []string{
		"connect4", "connect6", "sendmsg4", "sendmsg6", "recvmsg4", "recvmsg6", "getpeername4", "getpeername6",
	} {
		if mode := modeOf(t, status, "", hook); mode != "cgroup" {
			t.Errorf("%s is attached by %q, want cgroup", hook, mode)
		}
	}
	for _, hook := range status.Hooks {
		if hook.Why == "" || hook.Missing {
			t.Errorf("without a reason, or missing: %+v", hook)
		}
	}
}

func hookOf(t *testing.T, status lab.Status, device, hook string) lab.Hook {
	t.Helper()
	for _, h := range status.Hooks {
		if h.Device == device && h.Hook == hook {
			return h
		}
	}
	t.Errorf("status does not list %s of device %q: %+v", hook, device, status.Hooks)
	return lab.Hook{}
}

func modeOf(t *testing.T, status lab.Status, device, hook string) string {
	t.Helper()
	return hookOf(t, status, device, hook).Mode
}

// A bridge is attached, of its ports only the ingress, and a client behind a port
// gets through.
func TestBridge(t *testing.T) {
	t.Parallel()
	lan := lab.New(t)
	client, host := lan.Namespace("client"), lan.Namespace("host")
	lan.Veth(client, "eth0", host, "port0", 1500)
	host.Bridge("br0", "port0")
	addrs := lab.Addresses{V4: netip.MustParseAddr("198.18.9.1"), V6: netip.MustParseAddr("2001:db8:900::1")}
	for _, addr := range addrs.All() {
		bits := addr.BitLen() - 8
		host.Address("br0", netip.PrefixFrom(addr, bits))
		client.Address("eth0", netip.PrefixFrom(addr.Next(), bits))
	}
	x := host.XFWD()
	x.Add("80/tcp+udp", "30080")
	for _, network := range networks {
		host.Echo(network, ":30080")
		for _, addr := range addrs.All() {
			conn := client.MustConnect(network, at(addr, 80))
			mustEcho(t, conn)
			mustSee(t, conn)
		}
		if opened := x.Counters("80/" + network).Connections.Opened; opened != 2 {
			t.Errorf("%s: %d connections were counted, want 2", network, opened)
		}
	}
	status := x.Status()
	for _, hook := range []string{"ingress", "egress"} {
		if mode := modeOf(t, status, "br0", hook); mode == "none" {
			t.Errorf("the bridge's %s is not attached", hook)
		}
	}
	if mode := modeOf(t, status, "port0", "ingress"); mode == "none" {
		t.Errorf("the port's ingress is not attached, where the bridge's netfilter has not been yet")
	}
	if mode := modeOf(t, status, "port0", "egress"); mode == "none" {
		t.Errorf("the port's egress is not attached, where the bridge's netfilter sends answers")
	}
}

// Devices and addresses that come later are served once any command has looked.
func TestDeviceAndAddressThatComeLater(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	_, later := net.SecondLink()
	x.Add("80/tcp+udp", "30080")
	for _, network := range networks {
		for _, host := range later.All() {
			conn := net.Client.MustConnect(network, at(host, 80))
			mustEcho(t, conn)
			mustSee(t, conn)
		}
	}
	// And one that goes takes nothing with it.
	net.Host.DeleteLink("eth1")
	x.Add("81", "30080")
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 81)))
}
