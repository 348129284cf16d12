// SPDX-License-Identifier: Apache-2.0

package model

import "encoding/binary"

// changes are bytes that a checksum covers, before and after: whole 16-bit words.
type changes struct{ before, after []byte }

func (c *changes) add(before, after []byte) {
	c.before = append(c.before, before...)
	c.after = append(c.after, after...)
}

// update changes the checksum at an offset as RFC 1624 says, equation 3:
// HC' = ~(~HC + ~m + m').
func (c changes) update(frame []byte, offset int) {
	sum := uint32(^binary.BigEndian.Uint16(frame[offset:]))
	for i := 0; i < len(c.before); i += 2 {
		sum += uint32(^binary.BigEndian.Uint16(c.before[i:])) + uint32(binary.BigEndian.Uint16(c.after[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(frame[offset:], ^uint16(sum))
}

// updateUDP is update for UDP, where a checksum of zero says that there is none,
// and all ones stand for zero (RFC 768).
func (c changes) updateUDP(frame []byte, offset int) {
	c.update(frame, offset)
	if frame[offset] == 0 && frame[offset+1] == 0 {
		frame[offset], frame[offset+1] = 0xff, 0xff
	}
}

// checksum is that of bytes (RFC 1071); those of an odd number end with a zero.
func checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for i := 0; i < len(b); i++ {
			sum += uint32(b[i]) << (8 * (1 - i%2))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
