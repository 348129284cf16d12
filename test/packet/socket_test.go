// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"net/netip"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// A connection to the target from before the first forward has a socket and no
// flow. Its client may use the same port to the frontend.
func TestConnectionFromBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// The client is on the wire, where the host's router is.
	for _, a := range []netip.Prefix{netip.PrefixFrom(router.V4, 24), netip.PrefixFrom(router.V6, 64)} {
		w.far.Address("eth0", a)
	}
	// So it has the link-layer address that the host knows.
	link, err := w.far.Links().LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.far.Links().LinkSetHardwareAddr(link, router.mac()); err != nil {
		t.Fatal(err)
	}
	w.host.Echo("tcp", ":30080")
	for _, f := range bothFamilies {
		lab.Eventually(t, lab.Patience, func() error { return w.isLocal(host.address(f)) })
		conn := w.far.MustConnect("tcp", netip.AddrPortFrom(host.address(f), 30080))
		port := int(conn.Local().Port())
		own := through(router.at(port), host.at(80), host.at(30080))
		taken := own.seenAs(router.at(chosen))
		free := through(router.at(1024+(port+1)%60000), host.at(80), host.at(30080))
		w.runCases(t, []testCase{
			{
				name:     "its port is taken, " + f.String(),
				forwards: []string{"80 30080"},
				families: []family{f},
				steps:    append(taken.handshake(), flows{Established: 1}),
			},
			{
				name:     "what comes without SYN is of that connection, " + f.String(),
				forwards: []string{"80 30080"},
				families: []family{f},
				steps:    []step{own.asks(data(1001, 5001, "as I said")).opening()},
			},
			{
				name:     "another is not, " + f.String(),
				forwards: []string{"80 30080"},
				families: []family{f},
				steps:    free.handshake(),
			},
		})
	}
}
