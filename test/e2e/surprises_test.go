// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// mustTell fails the test unless exactly one line of a text has all of these words.
func mustTell(t *testing.T, text string, words ...string) {
	t.Helper()
	if n := linesWith(text, words...); n != 1 {
		t.Errorf("%d lines with %q, want one:\n%s", n, words, text)
	}
}

// mustNotTell fails the test if a line of a text has all of these words.
func mustNotTell(t *testing.T, text string, words ...string) {
	t.Helper()
	if linesWith(text, words...) != 0 {
		t.Errorf("there is a line with %q:\n%s", words, text)
	}
}

// linesWith counts the lines of a text that have all of these words.
func linesWith(text string, words ...string) int {
	count := 0
	for line := range strings.Lines(text) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			count++
		}
	}
	return count
}

// Behind 1:1 NAT this host has not the address that clients send to. add says so, and that a
// virtual address is no mistake.
func TestAddSaysThatAddressIsForeign(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	for _, foreign := range net.VIP.All() {
		said := x.Add(frontend(foreign, "80/tcp+udp"), "30080").Stderr
		mustTell(t, said, "note: "+foreign.String()+" is no address of this host", "leave the address out")
		for _, network := range networks {
			mustEcho(t, net.Client.MustConnect(network, at(foreign, 80)))
		}
		mustNotTell(t, x.Add(frontend(net.HostAddr.Of(foreign), "80/tcp+udp"), "30080").Stderr, "is no address of this host")
	}
	mustNotTell(t, x.Add("81", "30080").Stderr, "is no address of this host")
	mustNotTell(t, x.Add("127.0.0.1:82", "30080").Stderr, "is no address of this host")
}

// A packet is translated once. add says so of forwards that lead to another one, whichever
// of the two is new.
func TestAddSaysThatSecondForwardDoesNotApply(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	for _, network := range networks {
		net.Host.Echo(network, ":8080")
		net.Host.Echo(network, ":9090")
	}
	mustNotTell(t, x.Add("80/tcp+udp", "8080").Stderr, "translated once")
	said := x.Add("8080/tcp+udp", "9090").Stderr
	for _, network := range networks {
		mustTell(t, said, "note: 80/"+network, "port 8080 of this host", "8080/"+network+" -> this host:9090 does not apply")
		for _, host := range net.HostAddr.All() {
			if conn := net.Client.MustConnect(network, at(host, 80)); conn.Server.Port() != 8080 {
				t.Errorf("%s: port 80 leads to %v", network, conn.Server)
			}
			if conn := net.Client.MustConnect(network, at(host, 8080)); conn.Server.Port() != 9090 {
				t.Errorf("%s: port 8080 leads to %v", network, conn.Server)
			}
		}
	}
	mustTell(t, x.Add(frontend(net.HostAddr.V4, "81"), net.HostAddr.V4.String()+":8080").Stderr, "81/tcp", "does not apply")
	mustTell(t, x.Add("82-84", "8079-8081").Stderr, "82-84/tcp", "ports 8079-8081", "does not apply")
	mustNotTell(t, x.Add("85", "8081").Stderr, "does not apply")
	mustNotTell(t, x.Add("86", "[2001:db8:9::1]:8080").Stderr, "does not apply")
}

// The kernel keeps packets from outside away from what listens on loopback only.
func TestAddSaysThatTargetIsOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	for i, network := range networks {
		for j, loopback := range []string{"127.0.0.1", "[::1]"} {
			port := []string{"3000", "3001", "3002", "3003"}[2*i+j]
			net.Host.Echo(network, loopback+":"+port)
			said := x.Add("1"+port+"/"+network, port).Stderr
			mustTell(t, said, "warning: only "+strings.Trim(loopback, "[]")+" listens on port "+port+" of this host", "let the program listen on every address")
			mustNotTell(t, said, "nothing listens")
		}
	}
	for _, host := range net.HostAddr.All() {
		if _, err := net.Client.Connect("tcp", at(host, 13000), anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("port 13000 of %v: %v, want a refusal", host, err)
		}
	}
	net.Host.Echo("tcp", net.HostAddr.V4.String()+":3000")
	mustNotTell(t, x.Add("81", "3000").Stderr, "listens on")
	mustNotTell(t, x.Add("127.0.0.1:82", "127.0.0.1:3001").Stderr, "listens on")
}

// Docker keeps its networks apart by rules that what is forwarded does not meet.
func TestAddSaysThatNetworksOfDockerAreJoined(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.DefaultRoutes(net.ClientAddr)
	net.Host.Forwarding()
	net.Host.BridgeNetfilter(false)
	attach := func(bridge string, subnet int) lab.Server {
		container := lab.Server{Namespace: net.Lab.Namespace("of-" + bridge)}
		port := "port" + bridge[len(bridge)-1:]
		net.Lab.Veth(net.Host, port, container.Namespace, "eth0", 1500)
		net.Host.Bridge(bridge, port)
		container.Addr = container.Join("eth0", subnet, 2)
		container.DefaultRoutes(net.Host.Join(bridge, subnet, 1))
		return container
	}
	first := attach("docker0", 10)
	x := net.Host.XFWD()
	mustNotTell(t, x.Add("79", first.Addr.V4.String()+":80").Stderr, "Docker")
	second := attach("br-0123456789ab", 11)
	attach("br-ordinary", 12)
	for _, network := range networks {
		echo(second.Namespace, second.Addr, network, 80)
	}
	said := x.Add(append([]string{"80/tcp+udp"}, backends(second, 80)...)...).Stderr
	for _, network := range networks {
		mustTell(t, said, "note: containers on docker0 reach one on br-0123456789ab through 80/"+network, "`--device eth0` shuts them out")
		for family, host := range net.HostAddr.All() {
			within(t, net, network+" "+family, func(t *testing.T) {
				mustEcho(t, first.MustConnect(network, at(host, 80)))
			})
		}
	}
	mustNotTell(t, said, "br-ordinary")
	said = x.Add(append([]string{"81/tcp+udp", "--device", "eth0"}, backends(second, 80)...)...).Stderr
	mustNotTell(t, said, "Docker")
	for family, host := range net.HostAddr.All() {
		within(t, net, "eth0 alone "+family, func(t *testing.T) {
			mustEcho(t, net.Client.MustConnect("tcp", at(host, 81)))
			if _, err := first.Connect("tcp", at(host, 81), anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("from another network of Docker: %v, want a refusal", err)
			}
		})
	}
	mustTell(t, x.Add("82", second.Addr.V4.String()+":80", "--device", "eth0", "--device", "docker0").Stderr, "containers on docker0 reach")
}

// A range takes the clients of processes that listen on its ports; add names these.
func TestAddNamesPortsThatAreTaken(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	net.Host.Echo("tcp", ":30080")
	for _, port := range []string{"22", "25", "80", "443", "993"} {
		net.Host.Echo("tcp", ":"+port)
	}
	mustTell(t, x.Add("1-30", "30080").Stderr, "warning: processes of this host listen on ports 22 and 25, which 1-30/tcp has: their clients now reach this host:30080")
	mustTell(t, x.Add("80-1000/tcp", "30080").Stderr, "listen on ports 80, 443 and 993, which 80-1000/tcp has")
	mustTell(t, x.Add("31-60/udp", "30080", "--replace").Stderr, "nothing listens")
	mustTell(t, x.Add("2000", "30080,weight=0").Stderr, "warning: 2000/tcp has no backend that takes new connections: clients are refused")
}
