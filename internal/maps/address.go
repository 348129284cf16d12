// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"encoding/binary"
	"net/netip"

	"github.com/xfwd/xfwd/bpf"
)

// addressToKernel returns an address as the programs have it: IPv6 or
// IPv4-mapped IPv6 in network order. The zero Addr becomes all zeroes.
func addressToKernel(a netip.Addr) bpf.XfwdAddress {
	var k bpf.XfwdAddress
	if !a.IsValid() {
		return k
	}
	b := a.As16()
	for i := range k.Word {
		k.Word[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return k
}

// addressFromKernel is the inverse of addressToKernel.
func addressFromKernel(k bpf.XfwdAddress) netip.Addr {
	if k.Word == [4]uint32{} {
		return netip.Addr{}
	}
	var b [16]byte
	for i, w := range k.Word {
		binary.NativeEndian.PutUint32(b[4*i:], w)
	}
	return netip.AddrFrom16(b).Unmap()
}

// portToKernel returns a port in network order.
func portToKernel(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

// portFromKernel returns a port in host order.
func portFromKernel(port uint16) uint16 {
	return portToKernel(port)
}
