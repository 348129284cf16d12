// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// loopbackAddresses are 127.0.0.1 and ::1.
var loopbackAddresses = lab.Addresses{V4: netip.MustParseAddr("127.0.0.1"), V6: netip.IPv6Loopback()}

// reaches fails the test unless a connection from a namespace to an address is
// answered by the server at another one.
func reaches(t *testing.T, from *lab.Namespace, network string, to netip.AddrPort, server netip.AddrPort) {
	t.Helper()
	conn, err := from.Connect(network, to, anyPort)
	if err != nil {
		t.Errorf("%s %v: %v", network, to, err)
		return
	}
	mustEcho(t, conn)
	if conn.Server != server {
		t.Errorf("%s %v: %v answered, want %v", network, to, conn.Server, server)
	}
}

// containerOf is a network with a container that serves a port, TCP and UDP, at its
// addresses.
func containerOf(t *testing.T, port uint16) (*lab.Site, lab.Addresses) {
	t.Helper()
	site := lab.New(t).Containers(1)
	for _, network := range networks {
		for _, addr := range site.Servers[0].Addr.All() {
			site.Servers[0].Echo(network, at(addr, port).String())
		}
	}
	return site, site.Servers[0].Addr
}

// A service that listens on loopback keeps this host's own connections, whatever is
// published without an address, and the command that publishes it says so. Clients
// outside reach the container.
func TestListenerOnLoopbackKeepsItsClients(t *testing.T) {
	t.Parallel()
	site, container := containerOf(t, 6379)
	for _, network := range networks {
		for _, own := range loopbackAddresses.All() {
			site.Host.Echo(network, at(own, 6379).String())
		}
	}
	said := site.Host.XFWD().Add("6379/tcp+udp", at(container.V4, 6379).String(), at(container.V6, 6379).String()).Stderr
	const note = "note: a process listens on 127.0.0.1:6379, [::1]:6379: this host's own connections there still reach it; `--own always` forwards them too"
	if !strings.Contains(said, note) {
		t.Errorf("add says\n%swant\n%s", said, note)
	}
	for _, network := range networks {
		for family, own := range loopbackAddresses.All() {
			within(t, site.Network, network+" "+family, func(t *testing.T) {
				reaches(t, site.Host, network, at(own, 6379), at(own, 6379))
				// Nobody listens at these by name.
				reaches(t, site.Host, network, at(site.HostAddr.Of(own), 6379), at(container.Of(own), 6379))
				reaches(t, site.Client, network, at(site.HostAddr.Of(own), 6379), at(container.Of(own), 6379))
			})
		}
		reaches(t, site.Host, network, at(netip.MustParseAddr("127.0.0.2"), 6379), at(container.V4, 6379))
	}
}

// A program that connects to the unspecified address means loopback.
func TestListenerOnLoopbackByUnspecifiedAddress(t *testing.T) {
	t.Parallel()
	site, container := containerOf(t, 6379)
	for _, network := range networks {
		answerBy(t, site.Host, network, unix.AF_INET, &unix.SockaddrInet4{Port: 6379, Addr: loopbackAddresses.V4.As4()}, "")
		answerBy(t, site.Host, network, unix.AF_INET6, &unix.SockaddrInet6{Port: 6379, Addr: loopbackAddresses.V6.As16()}, "")
	}
	x := site.Host.XFWD()
	for own, wantOwn := range map[string]bool{"auto": true, "always": false} {
		x.Add("6379/tcp+udp", at(container.V4, 6379).String(), at(container.V6, 6379).String(), "--own", own)
		for _, network := range networks {
			for family, to := range map[int]unix.Sockaddr{unix.AF_INET: &unix.SockaddrInet4{Port: 6379}, unix.AF_INET6: &unix.SockaddrInet6{Port: 6379}} {
				if got := ask(t, site.Host, network, family, to); (got == ownAnswer) != wantOwn {
					t.Errorf("own %s, %s to %+v: %q answered", own, network, to, got)
				}
			}
		}
	}
}

// An IPv6 socket that asks for a mapped IPv4 address, and a server that is bound to
// one, are known by the IPv4 address.
func TestListenerOnMappedLoopback(t *testing.T) {
	t.Parallel()
	site, container := containerOf(t, 6379)
	mapped := &unix.SockaddrInet6{Port: 6379, Addr: netip.MustParseAddr("::ffff:127.0.0.1").As16()}
	for _, network := range networks {
		answerBy(t, site.Host, network, unix.AF_INET6, mapped, "")
	}
	x := site.Host.XFWD()
	for own, wantOwn := range map[string]bool{"auto": true, "always": false} {
		x.Add("6379/tcp+udp", at(container.V4, 6379).String(), "--own", own)
		for _, network := range networks {
			for family, to := range map[int]unix.Sockaddr{
				unix.AF_INET6: mapped,
				unix.AF_INET:  &unix.SockaddrInet4{Port: 6379, Addr: loopbackAddresses.V4.As4()},
			} {
				if got := ask(t, site.Host, network, family, to); (got == ownAnswer) != wantOwn {
					t.Errorf("own %s, %s to %+v: %q answered", own, network, to, got)
				}
			}
		}
	}
}

// A server that is bound to one of the host's other addresses keeps the host's own
// connections, too, and only those: clients outside are forwarded.
func TestListenerAtOneAddressKeepsOwnConnections(t *testing.T) {
	t.Parallel()
	site, container := containerOf(t, 53)
	for _, network := range networks {
		for _, host := range site.HostAddr.All() {
			site.Host.Echo(network, at(host, 53).String())
		}
	}
	site.Host.XFWD().Add("53/tcp+udp", at(container.V4, 53).String(), at(container.V6, 53).String())
	for _, network := range networks {
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, network+" "+family, func(t *testing.T) {
				reaches(t, site.Host, network, at(host, 53), at(host, 53))
				reaches(t, site.Host, network, at(loopbackAddresses.Of(host), 53), at(container.Of(host), 53))
				reaches(t, site.Client, network, at(host, 53), at(container.Of(host), 53))
			})
		}
	}
}

// A server at all addresses has no name to be asked by: its clients on this host are
// forwarded as all others.
func TestListenerEverywhereLosesItsClients(t *testing.T) {
	t.Parallel()
	site, container := containerOf(t, 6379)
	x := site.Host.XFWD()
	for _, network := range networks {
		site.Host.Echo(network, ":6379")
	}
	said := x.Add("6379/tcp+udp", at(container.V4, 6379).String(), at(container.V6, 6379).String()).Stderr
	if want := "warning: a process of this host listens on 6379/tcp"; !strings.Contains(said, want) || strings.Contains(said, "own connections") {
		t.Errorf("add says\n%swant %s, and nothing of own connections", said, want)
	}
	for _, network := range networks {
		for _, own := range loopbackAddresses.All() {
			reaches(t, site.Host, network, at(own, 6379), at(container.Of(own), 6379))
		}
	}
}

// --own always forwards what a listener on loopback would keep, --own never forwards
// nothing of this host. Both can change while the forward stays.
func TestOwnChoices(t *testing.T) {
	t.Parallel()
	site, container := containerOf(t, 6379)
	for _, network := range networks {
		for _, own := range loopbackAddresses.All() {
			site.Host.Echo(network, at(own, 6379).String())
		}
	}
	x := site.Host.XFWD()
	add := func(own string) string {
		return x.Add("6379/tcp+udp", at(container.V4, 6379).String(), at(container.V6, 6379).String(), "--own", own).Stderr
	}
	each := func(own string, check func(network string, loopback netip.Addr)) {
		for _, network := range networks {
			for family, loopback := range loopbackAddresses.All() {
				within(t, site.Network, own+" "+network+" "+family, func(t *testing.T) { check(network, loopback) })
			}
		}
	}
	const note = "note: a process listens on 127.0.0.1:6379, [::1]:6379: this host's own connections there now reach"
	if said := add("always"); !strings.Contains(said, note) {
		t.Errorf("add --own always says\n%swant\n%s", said, note)
	}
	each("always", func(network string, loopback netip.Addr) {
		reaches(t, site.Host, network, at(loopback, 6379), at(container.Of(loopback), 6379))
	})
	client := site.Client.MustConnect("tcp", at(site.HostAddr.V4, 6379))
	opened := x.Counters("6379/tcp").Connections.Opened
	add("auto")
	each("auto", func(network string, loopback netip.Addr) {
		reaches(t, site.Host, network, at(loopback, 6379), at(loopback, 6379))
		reaches(t, site.Host, network, at(site.HostAddr.Of(loopback), 6379), at(container.Of(loopback), 6379))
	})
	add("never")
	each("never", func(network string, loopback netip.Addr) {
		reaches(t, site.Host, network, at(loopback, 6379), at(loopback, 6379))
		if _, err := site.Host.Connect(network, at(site.HostAddr.Of(loopback), 6379), anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s with --own never: %v, want a refusal", network, err)
		}
		reaches(t, site.Client, network, at(site.HostAddr.Of(loopback), 6379), at(container.Of(loopback), 6379))
	})
	mustEcho(t, client)
	if now := x.Counters("6379/tcp").Connections.Opened; now < opened {
		t.Errorf("a change of --own has lost counters: %d connections opened, before %d", now, opened)
	}
	if own := x.List()[0].Own; own != "never" {
		t.Errorf("list says own %q", own)
	}
}

// A listener that comes after the forward keeps its clients from then on, and one that
// goes leaves them to the forward.
func TestListenerThatComesLater(t *testing.T) {
	t.Parallel()
	site, container := containerOf(t, 6379)
	site.Host.XFWD().Add("6379", at(container.V4, 6379).String())
	own := at(loopbackAddresses.V4, 6379)
	reaches(t, site.Host, "tcp", own, at(container.V4, 6379))
	stop := answerBy(t, site.Host, "tcp", unix.AF_INET, &unix.SockaddrInet4{Port: 6379, Addr: own.Addr().As4()}, "")
	if got := ask(t, site.Host, "tcp", unix.AF_INET, &unix.SockaddrInet4{Port: 6379, Addr: own.Addr().As4()}); got != ownAnswer {
		t.Errorf("with a listener, %q answered", got)
	}
	stop()
	reaches(t, site.Host, "tcp", own, at(container.V4, 6379))
}

// A resolver that is bound to the device lo, as systemd-resolved is, keeps its clients
// as well, though no program can look such a socket up. It is one that was there when
// a command last changed something.
func TestResolverBoundToLoopbackDevice(t *testing.T) {
	t.Parallel()
	site, container := containerOf(t, 53)
	stub := &unix.SockaddrInet4{Port: 53, Addr: [4]byte{127, 0, 0, 53}}
	for _, network := range networks {
		answerBy(t, site.Host, network, unix.AF_INET, stub, "lo")
	}
	x := site.Host.XFWD()
	said := x.Add("53/tcp+udp", at(container.V4, 53).String()).Stderr
	if want := "a process listens on 127.0.0.53:53: this host's own connections there still reach it"; !strings.Contains(said, want) {
		t.Errorf("add says\n%swant\n%s", said, want)
	}
	for _, network := range networks {
		if got := ask(t, site.Host, network, unix.AF_INET, stub); got != ownAnswer {
			t.Errorf("%s: the resolver's client got %q", network, got)
		}
		reaches(t, site.Host, network, at(loopbackAddresses.V4, 53), at(container.V4, 53))
	}
	x.Add("53/tcp+udp", at(container.V4, 53).String(), "--own", "always")
	for _, network := range networks {
		reaches(t, site.Host, network, at(netip.AddrFrom4(stub.Addr), 53), at(container.V4, 53))
	}
}

// ownAnswer is what the servers of answerBy answer, unlike an Echo.
const ownAnswer = "a process of this host"

func socketType(network string) int {
	if network == "udp" {
		return unix.SOCK_DGRAM
	}
	return unix.SOCK_STREAM
}

// answerBy answers ownAnswer by a socket that is bound to an address and, unless that
// is empty, to a device, until the test ends or stop is called.
func answerBy(t *testing.T, n *lab.Namespace, network string, family int, local unix.Sockaddr, device string) (stop func()) {
	t.Helper()
	kind := socketType(network)
	fd := -1
	n.Do(func() {
		var err error
		if fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		if device != "" {
			err = unix.BindToDevice(fd, device)
		}
		err = errors.Join(err, unix.Bind(fd, local))
		if kind == unix.SOCK_STREAM {
			err = errors.Join(err, unix.Listen(fd, 16))
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		question := make([]byte, 100)
		for {
			if kind == unix.SOCK_DGRAM {
				n, from, err := unix.Recvfrom(fd, question, 0)
				if err != nil || n == 0 { // shut down
					return
				}
				_ = unix.Sendto(fd, []byte(ownAnswer), 0, from)
				continue
			}
			conn, _, err := unix.Accept(fd)
			if err != nil {
				return
			}
			_, _ = unix.Read(conn, question)
			_, _ = unix.Write(conn, []byte(ownAnswer))
			unix.Close(conn)
		}
	}()
	stop = sync.OnceFunc(func() {
		_ = unix.Shutdown(fd, unix.SHUT_RDWR) // wakes it up
		<-ended
		unix.Close(fd)
	})
	t.Cleanup(stop)
	return stop
}

// ask connects and returns what is answered.
func ask(t *testing.T, n *lab.Namespace, network string, family int, to unix.Sockaddr) string {
	t.Helper()
	answer, size := make([]byte, 100), 0
	n.Do(func() {
		fd, err := unix.Socket(family, socketType(network)|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		timeout := unix.NsecToTimeval(lab.Patience.Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			t.Fatal(err)
		}
		if err := unix.Connect(fd, to); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, []byte("who is there")); err != nil {
			t.Fatal(err)
		}
		if size, err = unix.Read(fd, answer); err != nil {
			t.Fatal(err)
		}
	})
	return string(answer[:size])
}

// VIPs on the device lo are addresses of the host that no translator serves. The host
// reaches what is published by any of its addresses nevertheless.
func TestOwnConnectionsBesideVIPOnLoopback(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	net := lab.New(t).Direct()
	pods := net.Pods(2, 1500)
	vips := lab.Addresses{V4: netip.MustParseAddr("203.0.113.80"), V6: netip.MustParseAddr("2001:db8:80::80")}
	more := lab.Addresses{V4: netip.MustParseAddr("203.0.113.81"), V6: netip.MustParseAddr("2001:db8:80::81")}
	for _, vip := range slices.Concat(both(vips), both(more)) {
		net.Host.Address("lo", netip.PrefixFrom(vip, vip.BitLen()))
	}
	primaryNodePort(net, pods, 30080, 8080)
	for _, network := range networks {
		for _, addr := range pods[0].Addr.All() {
			pods[0].Echo(network, at(addr, 8080).String())
		}
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	for _, vip := range both(more) {
		x.Add(frontend(vip, "81/tcp+udp"), "30080")
	}
	for _, network := range networks {
		for family, host := range net.HostAddr.All() {
			for _, to := range []netip.AddrPort{
				at(loopbackAddresses.Of(host), 80), at(host, 80), at(vips.Of(host), 80), at(more.Of(host), 80), at(more.Of(host), 81),
			} {
				within(t, net, fmt.Sprintf("%s %s %v", network, family, to), func(t *testing.T) {
					reaches(t, net.Host, network, to, at(pods[0].Addr.Of(host), 8080))
				})
			}
		}
		// A process that listens at such an address keeps what is for it.
		for _, vip := range both(vips) {
			net.Host.Echo(network, at(vip, 30082).String())
		}
	}
	x.Add("82/tcp+udp", "30082")
	for _, network := range networks {
		for _, vip := range both(vips) {
			reaches(t, net.Host, network, at(vip, 82), at(vip, 30082))
		}
	}
}

func both(a lab.Addresses) []netip.Addr { return []netip.Addr{a.V4, a.V6} }

// primaryNodePort has netfilter hand a port of the host's address on eth0, and of no
// other, to a pod, as kube-proxy's nftables mode does.
func primaryNodePort(net *lab.Network, pods []lab.Pod, port, target uint16) {
	var rules strings.Builder
	for _, host := range net.HostAddr.All() {
		family, pod := "ip", pods[0].Addr.Of(host).String()
		if host.Is6() {
			family, pod = "ip6", "["+pod+"]"
		}
		for _, chain := range []string{"prerouting", "output"} {
			for _, network := range networks {
				fmt.Fprintf(&rules, "add rule %s node %s %s daddr %v %s dport %d dnat to %s:%d\n", family, chain, family, host, network, port, pod, target)
			}
		}
	}
	net.Host.Run("nft", nodePortTables+rules.String())
}
