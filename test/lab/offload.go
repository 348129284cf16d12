// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"runtime"
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
	n.Do(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			n.lab.tb.Fatalf("socket in %s: %v", n.Name, err)
		}
		defer unix.Close(fd)
		for _, command := range commands {
			if err := ethtool(fd, device, command, value); err != nil {
				n.lab.tb.Fatalf("ethtool command %#x of %s in %s: %v", command, device, n.Name, err)
			}
		}
	})
}

// ethtool sends one of the commands that take a single value.
func ethtool(fd int, device string, command, value uint32) error {
	argument := struct{ command, value uint32 }{command, value}
	// struct ifreq: a name and a union of 24 bytes, of which a pointer is used.
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&argument)}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(&argument)
	if errno != 0 {
		return errno
	}
	return nil
}
