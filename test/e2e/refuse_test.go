// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// mustRefuse fails the test unless a new flow is refused at once: by a reset, or
// by an ICMP error for UDP.
func mustRefuse(t *testing.T, client *lab.Namespace, network string, to netip.AddrPort) {
	t.Helper()
	start := time.Now()
	_, err := client.Connect(network, to, anyPort)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%s to %v: %v, want a refusal", network, to, err)
	}
	if elapsed := time.Since(start); elapsed > time.Second {
		t.Errorf("the refusal of %s by %v took %v", network, to, elapsed)
	}
}

// Without backends clients are refused at once, outside and on the host, and all
// works again as soon as there is one; also from N to none and back, again and
// again, for a UDP client that keeps its port.
func TestNoBackends(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.publish(t, "80/tcp+udp", f.all())
	for family, host := range f.HostAddr.All() {
		within(t, f.Network, family, func(t *testing.T) {
			keeps := f.Client.MustConnect("udp", at(host, 80))
			for range 3 {
				mustEcho(t, keeps)
				f.change(t, "del", "80/tcp+udp", f.all()...)
				if got := f.show(t, "80/tcp"); len(got) != 0 {
					t.Errorf("show has backends still: %+v", got)
				}
				for _, network := range networks {
					for _, client := range []*lab.Namespace{f.Client, f.Host} {
						mustRefuse(t, client, network, at(host, 80))
					}
				}
				if err := keeps.Echo([]byte("still there?")); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("a UDP client that was there before: %v, want a refusal", err)
				}
				if drops := f.xfwd.Counters("80/tcp").Drops; drops["no-backend"] == 0 {
					t.Errorf("the refusals were not counted: %v", drops)
				}
				f.change(t, "add", "80/tcp+udp", f.backends("", 2)...)
				for _, network := range networks {
					for _, client := range []*lab.Namespace{f.Client, f.Host} {
						mustEcho(t, client.MustConnect(network, at(host, 80)))
					}
				}
				mustEcho(t, keeps)
				f.change(t, "add", "80/tcp+udp", f.backends("", 0, 1)...)
			}
		})
	}
}

// Established TCP outlives its last backend's deletion, if that is told to keep
// it, and ends at once on both sides if it is told to reset it.
func TestLastBackendDeleted(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	for _, existing := range []string{"keep", "reset"} {
		for family, host := range f.HostAddr.All() {
			within(t, f.Network, existing+" "+family, func(t *testing.T) {
				f.publish(t, "80", f.all())
				conn := f.Client.MustConnect("tcp", at(host, 80))
				mustEcho(t, conn)
				f.change(t, "del", "80", append(f.all(), "--existing", existing)...)
				mustRefuse(t, f.Client, "tcp", at(host, 80))
				if existing == "keep" {
					mustEcho(t, conn)
				} else {
					mustBreak(t, conn)
				}
				f.xfwd.Do("del", "80")
			})
		}
	}
}

// mustBreak fails the test unless a connection is reset when it is used.
func mustBreak(t *testing.T, conn *lab.Conn) {
	t.Helper()
	start := time.Now()
	err := conn.Echo([]byte("still there?"))
	if err == nil {
		// The bytes may have gone before the reset came.
		err = conn.Echo([]byte("still there?"))
	}
	if !isReset(err) {
		t.Errorf("%v ↔ %v: %v, want a reset", conn.Local(), conn.RemoteAddr(), err)
	}
	if elapsed := time.Since(start); elapsed > time.Second {
		t.Errorf("the reset took %v", elapsed)
	}
}

// isReset says whether the other side has ended a connection by a reset, which a
// program hears of in one way or another.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNREFUSED)
}
