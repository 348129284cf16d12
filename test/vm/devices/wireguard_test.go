// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// A backend may be at the other end of a WireGuard tunnel, whose packets have no link
// layer. It sees the client or the host, as was chosen, and clients hear of its MTU.
func TestWireGuard(t *testing.T) {
	t.Parallel()
	needVM(t, "WireGuard")
	lab.Need(t, "wg")
	site := lab.New(t).TwoArmed(1)
	server := site.Servers[0]
	near, far := tunnel(t, site, server)
	server.DefaultRoutes(near)
	for _, network := range networks {
		server.Echo(network, ":80")
	}
	server.Bulk(":81")
	x := site.Host.XFWD()
	for source, port := range map[string]uint16{"preserve": 8080, "masquerade": 9080} {
		x.Add(fmt.Sprintf("%d-%d/tcp+udp", port, port+1), at(far.V4, 80).String()+"-81", at(far.V6, 80).String()+"-81", "--source", source)
		for family, host := range site.HostAddr.All() {
			t.Run(source+" "+family, func(t *testing.T) {
				site.Lab.Within(t)
				before := server.LinkStatistics("wg0")
				for _, network := range networks {
					conn := site.Client.MustConnect(network, at(host, port))
					mustEcho(t, conn)
					want := conn.Local().Addr()
					if source == "masquerade" {
						want = near.Of(host)
					}
					if conn.Client.Addr() != want {
						t.Errorf("%s: the server saw %v as the client, want %v", network, conn.Client, want)
					}
					if network == "udp" {
						mustHearOfMTU(t, site, conn)
					}
				}
				const size = 200_000
				if err := site.Client.Upload(at(host, port+1), size); err != nil {
					t.Errorf("to the server: %v", err)
				}
				if err := site.Client.Download(at(host, port+1), size); err != nil {
					t.Errorf("to the client: %v", err)
				}
				after := server.LinkStatistics("wg0")
				if after.RxBytes-before.RxBytes < size || after.TxBytes-before.TxBytes < size {
					t.Error("the tunnel carried less: the test does not test what it says")
				}
			})
		}
	}
	mustDropOnly(t, x, "too-big")
}

// mustHearOfMTU sends a datagram that fits the client's device, but not the tunnel, and
// fails the test unless the client is told so and the next one arrives.
func mustHearOfMTU(t *testing.T, site *lab.Site, conn *lab.Conn) {
	t.Helper()
	tooLong := make([]byte, 1440)
	for _, family := range []string{"-4", "-6"} {
		site.Client.Run("ip", family, "route", "flush", "cache")
	}
	capture := site.Client.Capture("eth0")
	if _, err := conn.Write(tooLong); err != nil {
		t.Fatal(err)
	}
	to := conn.RemoteAddr().String()
	lab.Eventually(t, lab.Patience, func() error {
		quotes := lab.TooBig(capture.Packets())
		if len(quotes) == 0 {
			return errors.New("nobody said that a packet is too big")
		}
		if quotes[0].String() != to {
			t.Fatalf("the client heard of a packet to %v, it sent to %v", quotes[0], to)
		}
		return nil
	})
	capture.Stop()
	// The socket is told as well, once.
	if _, err := conn.Write(nil); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("the socket was told %v", err)
	}
	if err := conn.Echo(tooLong); err != nil {
		t.Errorf("when the MTU was known: %v", err)
	}
}

// tunnel joins host and server by WireGuard and returns their addresses in it.
func tunnel(t *testing.T, site *lab.Site, server lab.Server) (host, far lab.Addresses) {
	t.Helper()
	ends := []struct {
		*lab.Namespace
		underlay lab.Addresses
	}{{site.Host, site.HostSide}, {server.Namespace, server.Addr}}
	var keys [2]*ecdh.PrivateKey
	for i, end := range ends {
		var err error
		if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
		addDevice(t, end.Namespace, &netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: "wg0"}})
	}
	host, far = site.Host.Join("wg0", 80, 1), server.Join("wg0", 80, 2)
	allowed := [2]string{far.V4.String() + "/32," + far.V6.String() + "/128", "0.0.0.0/0,::/0"}
	for i, end := range ends {
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, base64.StdEncoding.AppendEncode(nil, keys[i].Bytes()), 0o600); err != nil {
			t.Fatal(err)
		}
		end.Run("wg", "set", "wg0", "listen-port", "51820", "private-key", file,
			"peer", base64.StdEncoding.EncodeToString(keys[1-i].PublicKey().Bytes()),
			"endpoint", at(ends[1-i].underlay.V4, 51820).String(), "allowed-ips", allowed[i])
	}
	return host, far
}
