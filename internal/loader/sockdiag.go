// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// States of sockets as bits of inet_diag's idiag_states. UDP sockets with a peer
// are called established, those without one closed.
const (
	stateEstablished = 1 << 1
	stateSynSent     = 1 << 2
	stateSynReceived = 1 << 3
	stateFinWait1    = 1 << 4
	stateFinWait2    = 1 << 5
	stateClose       = 1 << 7
	stateCloseWait   = 1 << 8
	stateLastAck     = 1 << 9
	stateListen      = 1 << 10
	stateClosing     = 1 << 11
)

// diagRequest is struct inet_diag_req_v2 of the kernel's
// include/uapi/linux/inet_diag.h: all sockets of some states, or the one with
// an id.
type diagRequest struct {
	family, protocol uint8
	states           uint32
	id               diagID
}

const diagRequestSize = 8 + len(diagID{})

func (r diagRequest) Len() int { return diagRequestSize }

func (r diagRequest) Serialize() []byte {
	b := make([]byte, diagRequestSize)
	b[0], b[1] = r.family, r.protocol
	binary.NativeEndian.PutUint32(b[4:], r.states)
	copy(b[8:], r.id[:])
	return b
}

// diagID is struct inet_diag_sockid: ports in network order, local before
// remote; addresses of 16 bytes, the first four of which are IPv4's; ifindex;
// cookie.
type diagID [48]byte

func (id diagID) local(family uint8) netip.AddrPort {
	return netip.AddrPortFrom(diagAddress(family, id[4:20]), binary.BigEndian.Uint16(id[0:]))
}

func (id diagID) remote(family uint8) netip.AddrPort {
	return netip.AddrPortFrom(diagAddress(family, id[20:36]), binary.BigEndian.Uint16(id[2:]))
}

// device is the number of the device that the socket is bound to; 0 is none.
func (id diagID) device() uint32 { return binary.NativeEndian.Uint32(id[36:]) }

func (id diagID) cookie() uint64 {
	return uint64(binary.NativeEndian.Uint32(id[40:])) | uint64(binary.NativeEndian.Uint32(id[44:]))<<32
}

// diagAddress returns an address; IPv4 of an IPv6 socket is IPv4.
func diagAddress(family uint8, b []byte) netip.Addr {
	if family == unix.AF_INET {
		return netip.AddrFrom4([4]byte(b))
	}
	return netip.AddrFrom16([16]byte(b)).Unmap()
}

// listSockets calls yield for every socket of the current namespace that has a
// protocol and one of some states.
func listSockets(family, protocol uint8, states uint32, yield func(diagID)) error {
	return listSocketStates(family, protocol, states, func(id diagID, _ uint8) { yield(id) })
}

// listSocketStates is listSockets, and says which of the states each has, by its
// number.
func listSocketStates(family, protocol uint8, states uint32, yield func(id diagID, state uint8)) error {
	request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
	request.AddData(diagRequest{family: family, protocol: protocol, states: states})
	return request.ExecuteIter(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY, func(reply []byte) bool {
		// struct inet_diag_msg begins with family, state and two more bytes.
		if id := (diagID{}); len(reply) >= 4+len(id) {
			copy(id[:], reply[4:])
			yield(id, reply[1])
		}
		return true
	})
}

// destroySocket makes a socket of the current namespace end as if by an error,
// ECONNABORTED. A TCP socket resets its peer; a UDP socket loses it.
func destroySocket(family, protocol uint8, id diagID) error {
	request := nl.NewNetlinkRequest(nl.SOCK_DESTROY, unix.NLM_F_ACK)
	request.AddData(diagRequest{family: family, protocol: protocol, id: id})
	_, err := request.Execute(unix.NETLINK_INET_DIAG, 0)
	return err
}
