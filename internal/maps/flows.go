// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"net/netip"
	"time"

	"github.com/xfwd/xfwd/bpf"
)

// Tuple is the transport addresses of a packet.
type Tuple struct {
	Source, Destination netip.AddrPort
	Protocol            uint8
}

// Flow is one flow, seen from its forward entry.
type Flow struct {
	// Client is what the client's packets bear, Target what they become.
	Client, Target Tuple
	// Forward and Backend are zero where a client talks to a target directly.
	Forward, Backend uint32
	Generation       uint32
	// Established flows are kept apart from those that are opening or closing.
	Established bool
	// Answered: the target has sent something.
	Answered bool
	// Elsewhere: the target is not this host.
	Elsewhere bool
	// FinForward, FinReverse, Reset: who has closed a TCP connection, and how.
	FinForward, FinReverse, Reset bool
	// Counted is set for a connection that its backend's balance counts.
	Counted bool
	// Brief is set for UDP to a well-known port, where a question with its answer is all.
	Brief bool
	// Idle is the time since a recent packet of either direction, to about a
	// second.
	Idle time.Duration

	key, partner bpf.XfwdTuple
	lastSeen     uint64
}

// Closed says whether both ends, or a reset, have ended the connection.
func (f Flow) Closed() bool {
	return f.Reset || f.FinForward && f.FinReverse
}

// The timeouts of config.h.
const (
	tcpEstablishedTimeout = 7440 * time.Second
	tcpTransitoryTimeout  = 240 * time.Second
	udpAnsweredTimeout    = 300 * time.Second
	udpOneWayTimeout      = 120 * time.Second
	udpBriefTimeout       = 5 * time.Second
)

// Expired says whether the flow has been idle for longer than the programs let
// it live. They find out with the next packet of the flow, and remove it then.
func (f Flow) Expired() bool {
	timeout := tcpTransitoryTimeout
	switch {
	case f.Client.Protocol == protocolUDP && f.Answered && f.Brief && !f.Established:
		timeout = udpBriefTimeout
	case f.Client.Protocol == protocolUDP && f.Answered:
		timeout = udpAnsweredTimeout
	case f.Client.Protocol == protocolUDP:
		timeout = udpOneWayTimeout
	case f.Established:
		timeout = tcpEstablishedTimeout
	}
	return f.Idle > timeout
}

// Flows calls yield for every flow until it returns false. Flows that come, go
// or move meanwhile may be missed or seen twice.
func (s *Set) Flows(yield func(Flow) bool) error {
	_, err := s.CountFlows(yield)
	return err
}

// CountFlows is Flows, and counts the entries that it has read.
func (s *Set) CountFlows(yield func(Flow) bool) (entries Entries, err error) {
	now, err := monotonic()
	if err != nil {
		return entries, err
	}
	more := true
	for table, m := range s.flowTables() {
		err := batches(m, func(key bpf.XfwdTuple, k bpf.XfwdFlow) bool {
			entries[table]++
			if k.Flags&uint8(bpf.XfwdFlowFlagFLOW_REVERSE|bpf.XfwdFlowFlagFLOW_SHADOW) == 0 {
				more = yield(flowFromKernel(key, k, table == Established, now))
			}
			return more
		})
		if err != nil || !more {
			return entries, err
		}
	}
	return entries, nil
}

func flowFromKernel(key bpf.XfwdTuple, k bpf.XfwdFlow, established bool, now time.Duration) Flow {
	has := func(flag bpf.XfwdFlowFlag) bool { return k.Flags&uint8(flag) != 0 }
	return Flow{
		Client:      tupleFromKernel(key),
		Target:      tupleFromKernel(k.To),
		Forward:     k.Forward,
		Backend:     k.Backend,
		Generation:  k.Generation,
		Established: established,
		Answered:    has(bpf.XfwdFlowFlagFLOW_ANSWERED),
		Elsewhere:   has(bpf.XfwdFlowFlagFLOW_ELSEWHERE),
		FinForward:  has(bpf.XfwdFlowFlagFLOW_FIN_FORWARD),
		FinReverse:  has(bpf.XfwdFlowFlagFLOW_FIN_REVERSE),
		Reset:       has(bpf.XfwdFlowFlagFLOW_RESET),
		Counted:     has(bpf.XfwdFlowFlagFLOW_COUNTED),
		Brief:       k.Brief != 0,
		Idle:        max(0, now-time.Duration(k.LastSeen)),
		key:         key,
		partner:     reversed(k.To),
		lastSeen:    k.LastSeen,
	}
}

func tupleFromKernel(k bpf.XfwdTuple) Tuple {
	return Tuple{
		Source:      netip.AddrPortFrom(addressFromKernel(k.Source), portFromKernel(k.SourcePort)),
		Destination: netip.AddrPortFrom(addressFromKernel(k.Destination), portFromKernel(k.DestinationPort)),
		Protocol:    k.Protocol,
	}
}

func reversed(k bpf.XfwdTuple) bpf.XfwdTuple {
	return bpf.XfwdTuple{
		Source:          k.Destination,
		Destination:     k.Source,
		SourcePort:      k.DestinationPort,
		DestinationPort: k.SourcePort,
		Protocol:        k.Protocol,
	}
}
