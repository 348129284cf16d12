// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// ownTarget is a pair of backends that connections of a fleet's host reach.
type ownTarget struct {
	name string
	// words are a backend as xfwd takes it, server is where it answers.
	words  func(i int) []string
	server func(i int, host netip.Addr) netip.AddrPort
}

// ownTargets are backends of all kinds, which serve echo.
func (f *fleet) ownTargets() []ownTarget {
	here := func(i int, host netip.Addr) netip.AddrPort { return at(host, uint16(30080+i)) }
	for i := range 2 {
		for _, network := range networks {
			f.Host.Echo(network, fmt.Sprintf(":%d", 30080+i))
		}
	}
	return []ownTarget{
		{
			"elsewhere",
			func(i int) []string { return f.backends("", i) },
			func(i int, host netip.Addr) netip.AddrPort { return at(f.pods[i].Addr.Of(host), fleetPort) },
		},
		{"this host", func(i int) []string { return []string{fmt.Sprint(30080 + i)} }, here},
		{
			"own address",
			func(i int) []string {
				return []string{here(i, f.HostAddr.V4).String(), here(i, f.HostAddr.V6).String()}
			},
			here,
		},
	}
}

// A socket of the host that a forward has connected to a backend does not stay
// with it when the backend goes: UDP loses it, TCP is reset if told so. Those who
// have it by another forward, and those who talk to it directly, notice nothing.
func TestOwnConnectionsOfDeletedBackend(t *testing.T) {
	t.Parallel()
	for _, existing := range []string{"keep", "reset"} {
		t.Run("existing "+existing, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2)
			for _, target := range f.ownTargets() {
				for name, leave := range map[string]func(){
					"backend del": func() {
						f.change(t, "add", "80/tcp+udp", target.words(1)...)
						f.change(t, "del", "80/tcp+udp", append([]string{"--existing", existing}, target.words(0)...)...)
					},
					"del": func() {
						f.xfwd.Do("del", "80/tcp+udp", "--existing", existing)
						f.publish(t, "80/tcp+udp", target.words(1))
					},
					"replace": func() {
						f.publish(t, "80/tcp+udp", target.words(1), "--replace", "--existing", existing)
					},
				} {
					for family, host := range f.HostAddr.All() {
						within(t, f.Network, target.name+" "+name+" "+family, func(t *testing.T) {
							f.publish(t, "80/tcp+udp", target.words(0))
							f.publish(t, "81/tcp+udp", target.words(0))
							defer f.xfwd.Do("del", "--all")
							leaving, staying := map[string]*lab.Conn{}, map[string][]*lab.Conn{}
							for _, network := range networks {
								leaving[network] = f.Host.MustConnect(network, at(host, 80))
								staying[network] = []*lab.Conn{
									f.Host.MustConnect(network, at(host, 81)),
									f.Host.MustConnect(network, target.server(0, host)),
								}
							}
							leave()
							for _, network := range networks {
								if network == "tcp" && existing == "keep" {
									mustEcho(t, leaving[network])
								} else {
									mustAbort(t, leaving[network])
								}
								for _, conn := range staying[network] {
									mustEcho(t, conn)
								}
								again := f.Host.MustConnect(network, at(host, 80))
								if again.Server == leaving[network].Server || again.Server.Port() != target.server(1, host).Port() {
									t.Errorf("%s: connected again, it is answered by %v", network, again.Server)
								}
							}
						})
					}
				}
			}
		})
	}
}

// mustAbort fails the test unless the kernel has taken a socket's peer away.
func mustAbort(t *testing.T, conn *lab.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(lab.Patience))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNABORTED) {
		t.Errorf("%v → %v: %v, want %v", conn.Local(), conn.Server, err, syscall.ECONNABORTED)
	}
}

// An unconnected UDP socket of the host goes on with another backend by itself.
func TestOwnUnconnectedUDPMovesOn(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	for family, host := range f.HostAddr.All() {
		within(t, f.Network, family, func(t *testing.T) {
			f.publish(t, "80/udp", f.backends("", 0))
			socket := f.Host.ListenUDP(at(host, 0).String())
			for i := range f.pods {
				to := at(host, 80)
				if _, err := socket.WriteToUDPAddrPort([]byte("question"), to); err != nil {
					t.Fatal(err)
				}
				socket.SetReadDeadline(time.Now().Add(lab.Patience))
				answer := make([]byte, 1000)
				_, from, err := socket.ReadFromUDPAddrPort(answer)
				if err != nil {
					t.Fatal(err)
				}
				if from := at(from.Addr().Unmap(), from.Port()); from != to {
					t.Errorf("the answer came from %v, the program asked %v", from, to)
				}
				if server := at(f.pods[i].Addr.Of(host), fleetPort).String(); !bytes.Contains(answer, []byte(server)) {
					t.Errorf("the answer is %q, want that of %s", answer, server)
				}
				f.publish(t, "80/udp", f.backends("", 1), "--replace")
			}
			f.xfwd.Do("del", "80/udp")
		})
	}
}
