// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/test/model"
)

// keyOf is a tuple as the programs have it.
func keyOf(t model.Tuple) bpf.XfwdTuple {
	return bpf.XfwdTuple{
		Source: kernelAddress(t.Source.Addr()), Destination: kernelAddress(t.Destination.Addr()),
		SourcePort: kernelPort(int(t.Source.Port())), DestinationPort: kernelPort(int(t.Destination.Port())),
		Protocol: t.Protocol,
	}
}

// made is the entry that the programs have made for a client's new flow.
func (c *contest) made(client model.Tuple) (f bpf.XfwdFlow, found bool) {
	err := c.maps.FlowsTransitory.Lookup(keyOf(client), &f)
	return f, err == nil
}

// Source is the one that a client's new flow has got.
func (c *contest) Source(client model.Tuple) (source netip.AddrPort, found bool) {
	f, found := c.made(client)
	port := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, f.To.SourcePort))
	return netip.AddrPortFrom(addressOf(f.To.Source), port), found
}

// Backend is the id of the one that a client's new flow has got, or why there is no
// flow.
func (c *contest) Backend(client model.Tuple) (id uint32, why model.Refusal) {
	if f, found := c.made(client); found {
		return f.Backend, model.Refusal{}
	}
	return 0, c.refusal
}

// refusalIn is one for a reason, with what the frame that came out says of the MTU.
func refusalIn(frame []byte, reason string) model.Refusal {
	why := model.Refusal{Reason: reason}
	if reason != "too-big" {
		return why
	}
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	if m, ok := packet.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
		why.MTU = int(m.Seq)
	}
	if m, ok := packet.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok {
		why.MTU = int(binary.BigEndian.Uint32(m.Payload))
	}
	return why
}

// Affinity is the id of the backend that a client of a forward stays with.
func (c *contest) Affinity(forward uint32, client netip.Addr) uint32 {
	key := bpf.XfwdAffinityKey{Client: kernelAddress(client), Owner: forward}
	// What has just been chosen is new, but for the host's own connections.
	for _, m := range []*ebpf.Map{c.maps.NewAffinities, c.maps.Affinities} {
		var a bpf.XfwdAffinity
		if m.Lookup(key, &a) == nil {
			return a.Backend
		}
	}
	return 0
}
