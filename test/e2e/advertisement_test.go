// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// The advice of add to make a host forward IPv6 keeps the default route that the host
// has from router advertisements.
func TestForwardingAdviceKeepsAdvertisedRoute(t *testing.T) {
	t.Parallel()
	lab.Need(t, "sysctl", "ip")
	net := advertised(t)
	defaultRoute := func() string { return net.Host.Run("ip", "-6", "route", "show", "default") }
	x := net.Host.XFWD()
	said := x.Add("80", "[2001:db8:21::100]:80").Stderr
	line := lineWith(said, "net.ipv6.conf.all.forwarding")
	advice := regexp.MustCompile("`(sysctl -w [^`]*)`").FindStringSubmatch(line)
	if advice == nil {
		t.Fatalf("add gives no command that makes the host forward:\n%s", said)
	}
	words := strings.Fields(advice[1])
	net.Host.Run(words[0], words[1:]...)
	if route := defaultRoute(); !strings.Contains(route, "proto ra") {
		t.Errorf("after %q the default route is %q", advice[1], route)
	}
	if said := x.Add("81", "[2001:db8:21::100]:80").Stderr; strings.Contains(said, "sysctl") {
		t.Errorf("after %q add says:\n%s", advice[1], said)
	}

	other := advertised(t)
	other.Host.Sysctl("net.ipv6.conf.all.forwarding", "1")
	if route := other.Host.Run("ip", "-6", "route", "show", "default"); route != "" {
		t.Errorf("without accept_ra=2 the default route is %q: the test does not test what it says", route)
	}
}

// advertised is a network whose host has its default route of IPv6 from a router
// advertisement of the client.
func advertised(t *testing.T) *lab.Network {
	t.Helper()
	net := lab.New(t).Direct()
	net.Client.Sysctl("net.ipv6.conf.all.forwarding", "1")
	net.Host.Sysctl("net.ipv6.conf.eth0.accept_ra", "1")
	advertise(t, net.Client, "eth0", netip.MustParsePrefix("2001:db8:20::/64"))
	lab.Eventually(t, 10*time.Second, func() error {
		if route := net.Host.Run("ip", "-6", "route", "show", "default"); !strings.Contains(route, "proto ra") {
			return errors.New("the default route is " + route)
		}
		return nil
	})
	return net
}

// A host that has its routes by other means is told of forwarding alone.
func TestForwardingAdviceWithoutAdvertisements(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.DefaultRoutes(net.ClientAddr)
	net.Host.Sysctl("net.ipv6.conf.eth0.accept_ra", "1")
	said := net.Host.XFWD().Add("80", "[2001:db8:21::100]:80").Stderr
	if line := lineWith(said, "net.ipv6.conf.all.forwarding"); line == "" || strings.Contains(line, "accept_ra") {
		t.Errorf("add says %q of\n%s", line, said)
	}
}

// advertise sends router advertisements (RFC 4861 4.2) from a device, with a prefix for
// addresses, several times a second until the test ends.
func advertise(t *testing.T, router *lab.Namespace, device string, prefix netip.Prefix) {
	t.Helper()
	message := make([]byte, 16, 48)
	message[0], message[4] = 134, 64 // the type; the checksum is the kernel's work
	binary.BigEndian.PutUint16(message[6:], 1800)
	option := make([]byte, 32) // prefix information, RFC 4861 4.6.2
	option[0], option[1], option[2], option[3] = 3, 4, byte(prefix.Bits()), 0xc0
	binary.BigEndian.PutUint32(option[4:], 86400)
	binary.BigEndian.PutUint32(option[8:], 14400)
	copy(option[16:], prefix.Addr().AsSlice())
	message = append(message, option...)
	var fd int
	router.Do(func() {
		var err error
		if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6); err != nil {
			t.Fatal(err)
		}
	})
	index := router.Index(device)
	// A receiver believes advertisements with a hop limit of 255 only.
	for _, option := range [][2]int{{unix.IPV6_MULTICAST_HOPS, 255}, {unix.IPV6_MULTICAST_IF, index}} {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, option[0], option[1]); err != nil {
			t.Fatal(err)
		}
	}
	allNodes := &unix.SockaddrInet6{ZoneId: uint32(index), Addr: netip.MustParseAddr("ff02::1").As16()}
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		<-stopped
		unix.Close(fd)
	})
	go func() {
		defer close(stopped)
		for {
			_ = unix.Sendto(fd, message, 0, allNodes) // there may be no link-local address yet
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
}
