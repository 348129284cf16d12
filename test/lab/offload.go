// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offloads switches segmentation, receive coalescing and checksum offloads of a
// device. With them off, packets of at most the MTU with finished checksums
// leave it, as they would on a plain wire.
func (n *Namespace) Offloads(device string, on bool) {
	n.lab.tb.Helper()
	var value uint32
	// Segmentation needs scatter-gather, and that needs checksums: that is the
	// order to switch them on, and its reverse to switch them off.
	commands := []uint32{
		unix.ETHTOOL_SGRO, unix.ETHTOOL_SGSO, unix.ETHTOOL_STSO,
		unix.ETHTOOL_SSG, unix.ETHTOOL_STXCSUM, unix.ETHTOOL_SRXCSUM,
	}
	if on {
		value = 1
		for i, j := 0, len(commands)-1; i < j; i, j = i+1, j-1 {
			commands[i], commands[j] = commands[j], commands[i]
		}
	}
	n.ethtool(device, func(fd int) error {
		for _, command := range commands {
			argument := struct{ command, value uint32 }{command, value}
			if err := ethtool(fd, device, unsafe.Pointer(&argument)); err != nil {
				return fmt.Errorf("command %#x: %w", command, err)
			}
		}
		return nil
	})
}

// FinishChecksums has packets leave a device with finished checksums. It changes no other
// offload, but what the kernel ties to this one (segmentation).
func (n *Namespace) FinishChecksums(device string) {
	n.lab.tb.Helper()
	n.ethtool(device, func(fd int) error {
		argument := struct{ command, value uint32 }{command: unix.ETHTOOL_STXCSUM}
		return ethtool(fd, device, unsafe.Pointer(&argument))
	})
}
