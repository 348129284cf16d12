// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"slices"
)

const (
	ipv4Header = 20
	// mostFragmented is how much data may be behind the IP header of a packet that is
	// fragmented, mostFragments how many fragments it may become, and mostPerFragment how
	// much data each of these may have.
	mostFragmented  = 16383
	mostFragments   = 32
	mostPerFragment = 4088
)

// perFragment is how much data all fragments but the last have.
func perFragment(mtu int) int { return min((mtu-ipv4Header)/8*8, mostPerFragment) }

// fitsInFragments says whether a packet that is too big can leave in fragments.
func fitsInFragments(p packet, mtu int) bool {
	data := p.size - ipv4Header
	return p.mayFragment && p.kind != icmpError && data <= mostFragmented && data <= mostFragments*perFragment(mtu)
}

// lastFragment is the last fragment of a packet (RFC 791 3.2).
func lastFragment(frame []byte, p packet, mtu int) []byte {
	data := frame[p.network+ipv4Header : p.end]
	before := (len(data) - 1) / perFragment(mtu) * perFragment(mtu)
	last := slices.Concat(frame[:p.network+ipv4Header], data[before:])
	ip := last[p.network:]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[6:], binary.BigEndian.Uint16(ip[6:])+uint16(before/8))
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], checksum(ip[:ipv4Header]))
	return last
}
