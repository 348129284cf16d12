// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"
	"net/netip"

	"github.com/xfwd/xfwd/bpf"
)

// PortTable is what the programs know of every port before they look anything
// else up. A flag too many costs them a look-up; one too few hides a forward.
type PortTable struct {
	tcp, udp bpf.XfwdPortSet
}

func (t *PortTable) mark(protocol uint8, first, last uint16, flag bpf.XfwdPortFlag) {
	set := &t.tcp
	if protocol == protocolUDP {
		set = &t.udp
	}
	for port := uint32(first); port <= uint32(last); port++ {
		set.Flags[port] |= uint8(flag)
	}
}

// protocolUDP is IPPROTO_UDP.
const protocolUDP = 17

// AddFrontend marks the ports of a frontend.
func (t *PortTable) AddFrontend(protocol uint8, address netip.Addr, deviceBound bool, first, last uint16) {
	flag := bpf.XfwdPortFlagPORT_FRONTEND
	if first != last {
		flag = bpf.XfwdPortFlagPORT_FRONTEND_RANGE
	}
	if address.IsValid() {
		flag |= bpf.XfwdPortFlagPORT_FRONTEND_ADDRESS
	}
	if deviceBound {
		flag |= bpf.XfwdPortFlagPORT_FRONTEND_DEVICE
	}
	t.mark(protocol, first, last, flag)
	t.mark(protocol, 0, 0, bpf.XfwdPortFlagPORT_FRONTENDS)
}

// AddTarget marks the ports of a backend on this host, or elsewhere.
func (t *PortTable) AddTarget(protocol uint8, elsewhere bool, first, last uint16) {
	flag := bpf.XfwdPortFlagPORT_TARGET
	if elsewhere {
		flag = bpf.XfwdPortFlagPORT_ELSEWHERE
	}
	t.mark(protocol, first, last, flag)
}

// AddLingering marks the frontend of a deleted forward that has flows still. Its
// target is one as before.
func (t *PortTable) AddLingering(protocol uint8, first, last uint16) {
	t.mark(protocol, first, last, bpf.XfwdPortFlagPORT_LINGERING)
}

// PutPorts writes the table. Packets see a mix of old and new meanwhile, so
// what is old and still needed must be in the new one.
func (s *Set) PutPorts(t *PortTable) error {
	for i, set := range []*bpf.XfwdPortSet{&t.tcp, &t.udp} {
		var have bpf.XfwdPortSet
		if err := s.maps.Ports.Lookup(uint32(i), &have); err != nil {
			return fmt.Errorf("read ports: %w", err)
		}
		if have == *set {
			continue
		}
		if err := put(s.maps.Ports, uint32(i), set); err != nil {
			return err
		}
	}
	return nil
}
