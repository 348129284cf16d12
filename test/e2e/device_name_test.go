// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/xfwd/xfwd/test/lab"
)

// mustLead fails the test unless port 80 of an address leads clients to a port.
func mustLead(t *testing.T, net *lab.Network, host netip.Addr, want uint16) {
	t.Helper()
	for _, network := range networks {
		conn := net.Client.MustConnect(network, at(host, 80))
		if conn.Server.Port() != want {
			t.Errorf("%s to port 80 of %v leads to %v, want port %d", network, host, conn.Server, want)
		}
		mustEcho(t, conn)
		mustSee(t, conn)
	}
}

// mustRefuse80 fails the test unless clients of port 80 of an address are refused.
func mustRefuse80(t *testing.T, net *lab.Network, host netip.Addr) {
	t.Helper()
	for _, network := range networks {
		if _, err := net.Client.Connect(network, at(host, 80), anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s to port 80 of %v: %v, want a refusal", network, host, err)
		}
	}
}

// devices returns the devices of each forward.
func devices(x *lab.XFWD) string {
	var all []string
	for _, f := range x.List() {
		all = append(all, fmt.Sprintf("%d/%s on %s", f.Frontend.Port, f.Frontend.Protocol, strings.Join(f.Frontend.Devices, ",")))
	}
	return strings.Join(all, ", ")
}

// A forward that is bound to a device follows it to its new name, under traffic, and is
// shown with that. Another device that has got the old name is another device.
func TestForwardFollowsRenamedDevice(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	_, host2 := net.SecondLink()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080", "--device", "eth1")
	var open []*lab.Conn
	for _, network := range networks {
		for _, host := range host2.All() {
			conn := net.Client.MustConnect(network, at(host, 80))
			mustEcho(t, conn)
			open = append(open, conn)
		}
	}
	const follows = "80/tcp on wan0, 80/udp on wan0"
	check := func(when, wantDevices string) {
		t.Helper()
		for family, host := range host2.All() {
			within(t, net, when+" "+family, func(t *testing.T) {
				mustLead(t, net, host, 30080)
				mustRefuse80(t, net, net.HostAddr.Of(host))
			})
		}
		for _, conn := range open {
			mustEcho(t, conn)
		}
		if got := devices(x); got != wantDevices {
			t.Errorf("%s: the forwards are %s, want %s", when, got, wantDevices)
		}
	}
	net.Host.Rename("eth1", "wan0")
	check("renamed", follows)
	if saved := x.Do("save", "-").Stdout; !strings.Contains(saved, "devices: [wan0]") {
		t.Errorf("saved:\n%s", saved)
	}
	said := x.Add("81", "30080", "--device", "lo").Stderr
	mustTell(t, said, "note: eth1 is called wan0 now: 80/tcp follows it")
	mustTell(t, said, "note: eth1 is called wan0 now: 80/udp follows it")
	check("after a command", follows+", 81/tcp on lo")
	if again := x.Add("80/tcp+udp", "30080", "--device", "wan0"); again.Stderr != "" || strings.Count(again.Stdout, "already there") != 2 {
		t.Errorf("added again: %q, %q", again.Stdout, again.Stderr)
	}

	net.Lab.Veth(net.Client, "other", net.Host, "eth1", 1500)
	net.Client.Join("other", 20, 2)
	other := net.Host.Join("eth1", 20, 1)
	x.Do("del", "81")
	check("another eth1", follows)
	for _, host := range other.All() {
		mustRefuse80(t, net, host)
	}

	// The two change names: the devices count.
	net.Host.Rename("eth1", "tmp")
	net.Host.Rename("wan0", "eth1")
	net.Host.Rename("tmp", "wan0")
	x.Add("81", "30080", "--device", "lo")
	check("exchanged", "80/tcp on eth1, 80/udp on eth1, 81/tcp on lo")
}

// Where a device has gone, the name decides: another device that gets it is meant.
func TestNameDecidesWhereDeviceHasGone(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.SecondLink()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080", "--device", "eth1")
	net.Host.DeleteLink("eth1")
	mustTell(t, x.Do("status").Stdout+x.Do("status").Stderr, "there is no device eth1: 80/tcp")
	_, host2 := net.SecondLink()
	x.Add("81", "30080", "--device", "lo")
	for _, host := range host2.All() {
		mustLead(t, net, host, 30080)
	}
	if got := devices(x); got != "80/tcp on eth1, 80/udp on eth1, 81/tcp on lo" {
		t.Errorf("the forwards are %s", got)
	}
}

// A forward does not follow a device to a name by which another one asks for the same.
func TestForwardDoesNotFollowToTakenName(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	_, host2 := net.SecondLink()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
		net.Host.Echo(network, ":30081")
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080", "--device", "eth1")
	x.Add("80/tcp+udp", "30081", "--device", "wan0")
	net.Host.Rename("eth1", "wan0")
	said := x.Add("81", "30080").Stderr
	mustNotTell(t, said, "follows it")
	for _, host := range host2.All() {
		mustLead(t, net, host, 30081)
	}
	mustTell(t, x.Do("status", "-o", "json").Stdout, "there is no device eth1: 80/tcp")
}

// serve follows a device at once, and says so.
func TestServeFollowsRenamedDevice(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	_, host2 := net.SecondLink()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080", "--device", "eth1")
	s := x.Serve()
	net.Host.Rename("eth1", "wan0")
	lab.Eventually(t, 20*time.Second, func() error {
		if said := s.Stderr.String(); linesWith(said, "note: eth1 is called wan0 now") != 2 {
			return errors.New("serve says " + said)
		}
		return nil
	})
	for _, host := range host2.All() {
		mustLead(t, net, host, 30080)
	}
}

// A forward may be bound to a device by an alternative name, which may be long. It keeps that
// name, and meets no other forward by the first name.
func TestForwardBoundToAlternativeName(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	_, host2 := net.SecondLink()
	const long = "the-uplink-to-the-provider-of-the-second-floor"
	net.Host.AlternativeName("eth1", long)
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	if said := x.Add("80/tcp+udp", "30080", "--device", long).Stderr; said != "" {
		t.Errorf("add says %q", said)
	}
	check := func() {
		t.Helper()
		for _, host := range host2.All() {
			mustLead(t, net, host, 30080)
			mustRefuse80(t, net, net.HostAddr.Of(host))
		}
		if got := devices(x); got != "80/tcp on "+long+", 80/udp on "+long {
			t.Errorf("the forwards are %s", got)
		}
	}
	check()
	mustFail(t, x.Run("add", "80", "30081", "--device", "eth1"), 3, "80/tcp on "+long, "80/tcp on eth1", "--device "+long)
	net.Host.Rename("eth1", "wan0")
	if again := x.Add("80/tcp+udp", "30080", "--device", long); again.Stderr != "" || strings.Count(again.Stdout, "already there") != 2 {
		t.Errorf("added again: %q, %q", again.Stdout, again.Stderr)
	}
	check()

	// One that gets the name when both are there has nothing, and status says so.
	x.Add("80", "30081", "--device", "later")
	net.Host.AlternativeName("wan0", "later")
	x.Do("apply", "-f", fileOf(t, "apiVersion: xfwd/v1\nforwards: []\n"))
	warnings := x.Status().Warnings
	if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "80/tcp on later has no packets of later") }) {
		t.Errorf("status warns of %q", warnings)
	}
	for _, host := range host2.All() {
		mustLead(t, net, host, 30080)
	}
}

// A pattern means the devices whose names begin so, those that come later too. A name is more
// specific, and so is a longer pattern.
func TestForwardBoundToPattern(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	dial := func(i int) lab.Addresses {
		name := fmt.Sprintf("ppp%d", i)
		net.Lab.Veth(net.Client, name, net.Host, name, 1500)
		net.Client.Join(name, 20+i, 2)
		return net.Host.Join(name, 20+i, 1)
	}
	for port := 30080; port <= 30083; port++ {
		for _, network := range networks {
			net.Host.Echo(network, fmt.Sprintf(":%d", port))
		}
	}
	x := net.Host.XFWD()
	said := x.Add("80/tcp+udp", "30080", "--device", "ppp+").Stderr
	mustTell(t, said, "warning: there is no device whose name begins with ppp: 80/tcp")
	first := dial(0)
	x.Add("81", "30080")
	second := dial(1)
	if again := x.Add("80/tcp+udp", "30080", "--device", "ppp+"); again.Stderr != "" || strings.Count(again.Stdout, "already there") != 2 {
		t.Errorf("added again: %q, %q", again.Stdout, again.Stderr)
	}
	lead := func(when string, want map[lab.Addresses]uint16) {
		t.Helper()
		for hosts, port := range want {
			for family, host := range hosts.All() {
				within(t, net, fmt.Sprintf("%s %s %v", when, family, host), func(t *testing.T) {
					if port == 0 {
						mustRefuse80(t, net, host)
					} else {
						mustLead(t, net, host, port)
					}
				})
			}
		}
	}
	lead("pattern", map[lab.Addresses]uint16{first: 30080, second: 30080, net.HostAddr: 0})
	x.Add("80/tcp+udp", "30081", "--device", "ppp1")
	x.Add("80/tcp+udp", "30082", "--device", "pp+")
	x.Add("80/tcp+udp", "30083")
	lead("name", map[lab.Addresses]uint16{first: 30080, second: 30081, net.HostAddr: 30083})
	x.Do("del", "80/tcp+udp")
	x.Add("80/tcp+udp", "30082", "--device", "pp+")
	x.Add("80/tcp+udp", "30080", "--device", "ppp+")
	s := x.Serve()
	third := dial(2)
	lab.Eventually(t, 20*time.Second, func() error {
		conn, err := net.Client.Connect("tcp", at(third.V4, 80), anyPort)
		if err == nil && conn.Server.Port() != 30080 {
			t.Fatalf("the third leads to %v", conn.Server)
		}
		return err
	})
	lead("serve", map[lab.Addresses]uint16{first: 30080, second: 30080, third: 30080, net.HostAddr: 0})
	s.Kill()

	x.Add("90-99", "30080", "--device", "ppp+")
	mustFail(t, x.Run("add", "95-105", "30080", "--device", "ppp1"), 3, "overlaps", "90-99/tcp on ppp+")
	mustFail(t, x.Run("add", "80", "30081", "--device", "ppp+"), 3, "80/tcp on ppp+ is taken")
	net.Host.AlternativeName("ppp1", "backup")
	mustFail(t, x.Run("add", "95-105", "30080", "--device", "backup"), 3, "overlaps", "backup and ppp+", "give each port to one")
	mustFail(t, x.Run("add", "82", "30080", "--device", "+"), 2, "leave it out")
}

// fileOf writes a file for one test.
func fileOf(t *testing.T, content string) string {
	t.Helper()
	path := t.TempDir() + "/forwards.yaml"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Names of devices can have any bytes, which reach no terminal.
func TestNamesOfDevicesArePrintable(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.SecondLink()
	x := net.Host.XFWD()
	x.Add("80", "30080", "--device", "eth1")
	net.Host.Rename("eth1", "e\x1b[2Jth\xff")
	var all string
	for _, command := range [][]string{
		{"status"}, {"list"}, {"show", "80"}, {"save", "-"}, {"status", "-o", "json"}, {"status", "-o", "yaml"},
		{"add", "81", "30081", "--device", "e\x1b[2Jth"}, {"add", "82", "198.18.4.2:80"},
	} {
		result := x.Run(command...)
		all += result.Stdout + result.Stderr
	}
	for _, r := range all {
		if r < ' ' && r != '\n' || r == 0x7f {
			t.Errorf("%q is printed in:\n%q", r, all)
			break
		}
	}
	if !utf8.ValidString(all) {
		t.Errorf("some of this is no text:\n%q", all)
	}
	if !strings.Contains(all, `e\x1b[2Jth\xff`) {
		t.Errorf("the device is not shown:\n%s", all)
	}
	// A name that no forward can be given is not followed to.
	if got := devices(x); !strings.HasPrefix(got, "80/tcp on eth1") {
		t.Errorf("the forwards are %s", got)
	}
}
