// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// When the device that leads to a backend is removed, the other backend serves on.
// Status says that there is no route, and when the device has come again, that it has
// no program; any command attaches it, and then the connections of before go on.
func TestFaultDeviceRemoved(t *testing.T) {
	t.Parallel()
	f, load, of := fleetUnderFault(t)
	pod := f.pods[0]
	since := time.Now()
	f.Host.DeleteLink("pod0")
	for _, addr := range pod.Addr.All() {
		mustWarn(t, f.xfwd, "there is no route to "+addr.String(), "clients are refused until there is one")
	}
	mustBeSilent(t, of[0])
	mustGoOn(t, of[1], soon)
	f.mustServeOnly(t, 80, 1)

	f.Lab.Veth(f.Host, "pod0", pod.Namespace, "eth0", 1500)
	f.Host.Join("pod0", 100, 1)
	if got := pod.Join("eth0", 100, 2); got != pod.Addr {
		t.Fatalf("the pod is %v now and was %v", got, pod.Addr)
	}
	mustWarn(t, f.xfwd, "nothing is attached to ingress and egress of pod0", "`xfwd apply` or any `xfwd add` attaches it")
	mustGoOn(t, of[1], soon)
	f.publish(t, "80/tcp+udp", f.all())
	mustBeFine(t, f.xfwd)
	// Only now can the pod answer: what comes by a device without a program is not
	// translated, and clients reset what they do not know.
	routeByHost(pod)
	load.mustGoOn(t, again(since))
	f.mustServeOnly(t, 80, 0, 1)
}

// A forward that is bound to a device takes effect there again when the device has
// come again and a command has run, and nowhere else meanwhile.
func TestFaultBoundDeviceRemoved(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	_, second := net.SecondLink()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080", "--device", "eth1")
	bound := func(when string, device, here lab.Addresses, want bool) {
		t.Helper()
		for _, network := range networks {
			for _, host := range here.All() {
				conn, err := net.Client.Connect(network, at(host, 80), at(device.Of(host), freshPort()))
				if (err == nil) != want {
					t.Errorf("%s: %s to %v: %v", when, network, host, err)
				}
				if err == nil {
					mustEcho(t, conn)
				}
			}
		}
	}
	clientSecond := lab.Addresses{V4: second.V4.Next(), V6: second.V6.Next()}
	bound("at first", clientSecond, second, true)
	mustBeFine(t, x)
	net.Host.DeleteLink("eth1")
	mustWarn(t, x, "there is no device eth1", "80/tcp takes effect there when it has come and a command of xfwd has run")
	mustWarn(t, x, "there is no device eth1", "80/udp takes effect there")
	bound("while its device is gone", net.ClientAddr, net.HostAddr, false)
	net.SecondLink()
	mustWarn(t, x, "nothing is attached to ingress and egress of eth1")
	bound("while its device has no program", clientSecond, second, false)
	x.Add("80/tcp+udp", "30080", "--device", "eth1")
	mustBeFine(t, x)
	bound("again", clientSecond, second, true)
	bound("again, by another device", net.ClientAddr, net.HostAddr, false)
}
