// SPDX-License-Identifier: Apache-2.0

package ctl

import "strconv"

// String returns the protocol as users write it after the slash of a frontend.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return "protocol-" + strconv.Itoa(int(p))
}

// parseProtocols returns the protocols that the part of a frontend behind the
// slash stands for.
func parseProtocols(s string) ([]Protocol, error) {
	switch s {
	case "tcp":
		return []Protocol{TCP}, nil
	case "udp":
		return []Protocol{UDP}, nil
	case "tcp+udp":
		return []Protocol{TCP, UDP}, nil
	case "":
		return nil, Errorf(ErrSyntax, "the protocol is missing after the slash; write /tcp, /udp or /tcp+udp")
	}
	return nil, Errorf(ErrSyntax, "protocol %q is unknown; write tcp, udp or tcp+udp", s)
}
