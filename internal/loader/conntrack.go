// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// conntrackCount is how many connections netfilter tracks in a namespace; where it
// tracks none, it may not be there.
const conntrackCount = "net.netfilter.nf_conntrack_count"

// tracked is a connection as netfilter tracks it: what its packets bear as they arrive
// here, those of who has begun it and those that answer.
type tracked struct {
	original, reply maps.Tuple
	// replied: both ends have spoken.
	replied bool
	// state is that of TCP, one of the constants below.
	state uint8
}

// States of TCP connections: enum tcp_conntrack of the kernel's
// include/uapi/linux/netfilter/nf_conntrack_tcp.h.
const (
	trackedSynSent     = 1
	trackedSynReceived = 2
	trackedEstablished = 3
	trackedFinWait     = 4
	trackedCloseWait   = 5
)

// translated says whether netfilter gives the packets other addresses or ports.
func (t tracked) translated() bool {
	return t.reply.Source != t.original.Destination || t.reply.Destination != t.original.Source
}

// What netlink calls what: include/uapi/linux/netfilter/nfnetlink_conntrack.h and
// nf_conntrack_common.h. IPS_SEEN_REPLY is a bit of the status.
const (
	ctaTupleOrig    = 1
	ctaTupleReply   = 2
	ctaStatus       = 3
	ctaProtoInfo    = 4
	ctaTupleIP      = 1
	ctaTupleProto   = 2
	ctaIPv4Source   = 1
	ctaIPv4Dest     = 2
	ctaIPv6Source   = 3
	ctaIPv6Dest     = 4
	ctaProtoNumber  = 1
	ctaSourcePort   = 2
	ctaDestPort     = 3
	ctaProtoInfoTCP = 1
	ctaTCPState     = 1
	statusSeenReply = 1 << 1
)

// listTracked calls yield for every connection that netfilter tracks in the current
// namespace. Where nothing is tracked it costs one read.
func listTracked(yield func(tracked)) error {
	const most = 32
	count, err := readSysctl(conntrackCount, most)
	if err != nil || strings.TrimSpace(count) == "0" {
		return nil // no such thing here
	}
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP)
	request.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
	return request.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(reply []byte) bool {
		if len(reply) >= nl.SizeofNfgenmsg {
			yield(parseTracked(reply[nl.SizeofNfgenmsg:]))
		}
		return true
	})
}

func parseTracked(attributes []byte) (t tracked) {
	eachAttribute(attributes, func(kind uint16, value []byte) {
		switch kind {
		case ctaTupleOrig:
			t.original = parseTrackedTuple(value)
		case ctaTupleReply:
			t.reply = parseTrackedTuple(value)
		case ctaStatus:
			t.replied = len(value) == 4 && binary.BigEndian.Uint32(value)&statusSeenReply != 0
		case ctaProtoInfo:
			eachAttribute(value, func(kind uint16, value []byte) {
				if kind != ctaProtoInfoTCP {
					return
				}
				eachAttribute(value, func(kind uint16, value []byte) {
					if kind == ctaTCPState && len(value) > 0 {
						t.state = value[0]
					}
				})
			})
		}
	})
	return t
}

func parseTrackedTuple(attributes []byte) maps.Tuple {
	var t maps.Tuple
	var from, to netip.Addr
	var fromPort, toPort uint16
	eachAttribute(attributes, func(kind uint16, value []byte) {
		eachAttribute(value, func(inner uint16, value []byte) {
			switch {
			case kind == ctaTupleIP && (inner == ctaIPv4Source || inner == ctaIPv6Source):
				from, _ = netip.AddrFromSlice(value)
			case kind == ctaTupleIP && (inner == ctaIPv4Dest || inner == ctaIPv6Dest):
				to, _ = netip.AddrFromSlice(value)
			case kind == ctaTupleProto && inner == ctaProtoNumber && len(value) > 0:
				t.Protocol = value[0]
			case kind == ctaTupleProto && inner == ctaSourcePort && len(value) == 2:
				fromPort = binary.BigEndian.Uint16(value)
			case kind == ctaTupleProto && inner == ctaDestPort && len(value) == 2:
				toPort = binary.BigEndian.Uint16(value)
			}
		})
	})
	t.Source, t.Destination = netip.AddrPortFrom(from, fromPort), netip.AddrPortFrom(to, toPort)
	return t
}

// eachAttribute calls f for every attribute of netlink, as long as they are whole.
func eachAttribute(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofNlAttr {
		length, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if length < unix.SizeofNlAttr || length > len(b) {
			return
		}
		f(kind&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofNlAttr:length])
		b = b[min(len(b), (length+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1)):]
	}
}
