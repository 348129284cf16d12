// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/bpf"
)

// Packets are handed to the other end of a pair as long as only its namespace can
// be meant by them.
func TestPairsLeadToPeers(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		isPeer := func() bool {
			t.Helper()
			must(t, d.Tell(hostOf(t, d)))
			return factsOf(t, d, "a0").Flags&uint16(bpf.XfwdDeviceFlagDEVICE_PEER) != 0
		}
		if isPeer() {
			t.Error("the other end is in the same namespace, but a peer")
		}
		other := newLoader(t).namespace
		inNamespace(t, d, func() error {
			a1, err := netlink.LinkByName("a1")
			must(t, err)
			must(t, netlink.LinkSetName(a1, "b1"))
			return netlink.LinkSetNsFd(a1, int(other.file.Fd()))
		})
		if !isPeer() {
			t.Error("the other end is alone in a namespace, but no peer")
		}
		must(t, other.Do(func() error {
			bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
			must(t, netlink.LinkAdd(bridge))
			b1, err := netlink.LinkByName("b1")
			must(t, err)
			return netlink.LinkSetMaster(b1, bridge)
		}))
		if isPeer() {
			t.Error("the other end is the port of a bridge, but a peer")
		}
	})
}
