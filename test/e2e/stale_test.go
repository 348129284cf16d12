// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strconv"
	"testing"
)

// When a backend is deleted, its established TCP stays with it or is reset, as
// told; its UDP flows move on with the next packet, none of which is lost; the
// flows of others notice nothing.
func TestBackendDeleted(t *testing.T) {
	t.Parallel()
	const backends, deleted = 3, 1
	for _, existing := range []string{"", "keep", "reset"} {
		t.Run("existing "+existing, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, backends)
			f.publish(t, "80/tcp+udp", f.all(), "--balance", "round-robin")
			for family, host := range f.HostAddr.All() {
				within(t, f.Network, family, func(t *testing.T) {
					tcp := f.open(t, "tcp", at(host, 80), 2*backends)
					udp := f.open(t, "udp", at(host, 80), 2*backends)
					words := f.backends("", deleted)
					if existing != "" {
						words = append(words, "--existing", existing)
					}
					f.change(t, "del", "80/tcp+udp", words...)
					for i := range backends {
						for _, conn := range tcp[i] {
							if i == deleted && existing == "reset" {
								mustBreak(t, conn)
								continue
							}
							mustEcho(t, conn)
							if err := conn.Echo(make([]byte, 1_000_000)); err != nil {
								t.Errorf("a connection of backend %d: %v", i, err)
							}
						}
						for _, conn := range udp[i] {
							mustEcho(t, conn)
							if now := f.index(t, conn.Server.Addr()); (now == i) != (i != deleted) {
								t.Errorf("a UDP flow of backend %d is answered by %d", i, now)
							}
						}
					}
					for _, network := range networks {
						if got := f.open(t, network, at(host, 80), 2*backends); len(got[deleted]) != 0 {
							t.Errorf("%d new %s flows came to the deleted backend", len(got[deleted]), network)
						}
					}
					f.change(t, "add", "80/tcp+udp", f.backends("", deleted)...)
				})
			}
		})
	}
}

// A frontend that is deleted and made again with another backend: established
// TCP stays where it is, UDP and new connections go to the new backend.
func TestFrontendMadeAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	for family, host := range f.HostAddr.All() {
		within(t, f.Network, family, func(t *testing.T) {
			f.publish(t, "80/tcp+udp", f.backends("", 0))
			tcp := f.Client.MustConnect("tcp", at(host, 80))
			udp := f.Client.MustConnect("udp", at(host, 80))
			for round := 1; round <= 4; round++ {
				mustEcho(t, tcp)
				mustEcho(t, udp)
				f.xfwd.Do("del", "80/tcp+udp")
				mustEcho(t, tcp)
				f.publish(t, "80/tcp+udp", f.backends("", round%2))
				for _, network := range networks {
					if got := f.ask(t, network, at(host, 80), anyPort); got != round%2 {
						t.Errorf("round %d: a new %s flow came to backend %d", round, network, got)
					}
				}
				mustEcho(t, tcp)
				if got := f.index(t, tcp.Server.Addr()); got != 0 {
					t.Errorf("round %d: the connection went to backend %d", round, got)
				}
				mustEcho(t, udp)
				if got := f.index(t, udp.Server.Addr()); got != round%2 {
					t.Errorf("round %d: the UDP flow is answered by backend %d", round, got)
				}
			}
			f.xfwd.Do("del", "80/tcp+udp")
		})
	}
}

// What flows of a deleted backend remember means nothing for those who come
// after it: the address as a backend of another frontend, and another backend
// where it was.
func TestAddressAndPlaceReused(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	for family, host := range f.HostAddr.All() {
		within(t, f.Network, family, func(t *testing.T) {
			f.publish(t, "80/tcp+udp", f.backends("", 0))
			tcp := f.Client.MustConnect("tcp", at(host, 80))
			udp := f.Client.MustConnect("udp", at(host, 80))
			mustEcho(t, tcp)
			mustEcho(t, udp)
			f.change(t, "del", "80/tcp+udp", f.backends("", 0)...)
			f.change(t, "add", "80/tcp+udp", f.backends("", 1)...)
			f.publish(t, "81/tcp+udp", f.backends("", 0))
			f.publish(t, "82/tcp+udp", f.backends("", 2))
			for port, want := range map[uint16]int{80: 1, 81: 0, 82: 2} {
				for _, network := range networks {
					if got := f.ask(t, network, at(host, port), anyPort); got != want {
						t.Errorf("a new %s flow to port %d came to backend %d, want %d", network, port, got, want)
					}
				}
			}
			mustEcho(t, tcp)
			if got := f.index(t, tcp.Server.Addr()); got != 0 {
				t.Errorf("the connection went to backend %d", got)
			}
			mustEcho(t, udp)
			if got := f.index(t, udp.Server.Addr()); got != 1 {
				t.Errorf("the UDP flow is answered by backend %d, want 1", got)
			}
			// To reset what 81 has there is no business of 80's old connection.
			other := f.Client.MustConnect("tcp", at(host, 81))
			mustEcho(t, other)
			f.change(t, "del", "81/tcp+udp", append(f.backends("", 0), "--existing", "reset")...)
			mustBreak(t, other)
			mustEcho(t, tcp)
			f.xfwd.Do("del", "--all")
		})
	}
}

// A thousand changes under load lose nothing that should live.
func TestThousandChangesUnderLoad(t *testing.T) {
	t.Parallel()
	// Five commands each, which change two forwards each.
	const cycles = 100
	f := newFleet(t, 4)
	f.xfwd.MaxFlows = "65536"
	f.publish(t, "80/tcp+udp", f.backends("", 0, 1, 2, 3))
	work := f.work(t, 80)
	for i := range cycles {
		// Two of four come and go, one of them at a time.
		word := f.backends("", 2+i%2)
		f.change(t, "drain", "80/tcp+udp", word...)
		f.change(t, "del", "80/tcp+udp", word...)
		f.change(t, "set", "80/tcp+udp", f.backends(",weight="+strconv.Itoa(1+i%5), 0)...)
		f.change(t, "add", "80/tcp+udp", word...)
		// The slots of the deleted are to be had for others.
		if i%2 == 0 {
			f.publish(t, "81/tcp+udp", f.all())
		} else {
			f.xfwd.Do("del", "81/tcp+udp")
		}
	}
	// An answer of each UDP client may be on its way when its backend is deleted.
	work.end(t, 2*cycles)
	got := f.xfwd.List()
	if len(got) != 2 || len(got[0].Backends) != 8 {
		t.Errorf("in the end there is %+v", got)
	}
	for _, network := range networks {
		for _, host := range f.HostAddr.All() {
			mustEcho(t, f.Client.MustConnect(network, at(host, 80)))
		}
	}
}
