// SPDX-License-Identifier: Apache-2.0

// Package e2e tests xfwd as its users meet it: the real binary, real sockets and
// tools, real packets, in network namespaces. The tests need root, and fail
// without it.
package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

func TestMain(m *testing.M) {
	if backend := os.Getenv(manyBackend); backend != "" {
		serveMany(backend) // in a process that a test has started
	}
	if addresses := os.Getenv(echoServer); addresses != "" {
		serveEcho(addresses) // the same
	}
	if address := os.Getenv(talkingClient); address != "" {
		talkTo(address) // the same
	}
	if args := os.Getenv(withoutResource); args != "" {
		runWithoutResource(args) // the same
	}
	os.Exit(lab.Main(m))
}

// networks are the protocols that are forwarded, by their names in Go.
var networks = []string{"tcp", "udp"}

// at is a port of an address.
func at(addr netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(addr, port) }

// anyPort leaves the client's end of a connection to the kernel.
var anyPort netip.AddrPort

// mustEcho sends a few payloads on a connection and fails the test unless each
// comes back.
func mustEcho(t *testing.T, conn *lab.Conn) {
	t.Helper()
	for i := range 3 {
		if err := conn.Echo(fmt.Appendf(nil, "payload %d of %v", i, conn.Local())); err != nil {
			t.Fatalf("%v ↔ %v: %v", conn.Local(), conn.RemoteAddr(), err)
		}
	}
}

// mustSee fails the test unless the server saw the client's real address.
func mustSee(t *testing.T, conn *lab.Conn) {
	t.Helper()
	if conn.Client != conn.Local() {
		t.Errorf("the server saw %v as the client, which is %v", conn.Client, conn.Local())
	}
}

// frontend writes ports of an address as xfwd takes them.
func frontend(addr netip.Addr, ports string) string {
	if addr.Is6() {
		return "[" + addr.String() + "]:" + ports
	}
	return addr.String() + ":" + ports
}

// within runs a subtest in a network that exists already.
func within(t *testing.T, net *lab.Network, name string, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		net.Lab.Within(t)
		test(t)
	})
}
