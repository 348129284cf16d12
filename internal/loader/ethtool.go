// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hardware is what the driver of a device says of it.
type hardware struct {
	// driver is its name, and bus the address of the device on it.
	driver, bus string
	// lro: packets are merged by the device, which XDP cannot read.
	lro bool
	// queues and mostQueues are how many there are and can be.
	queues, mostQueues uint32
}

// readHardware asks the driver of a device of the current network namespace. What
// a driver does not tell stays zero.
func readHardware(name string) hardware {
	var h hardware
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return h
	}
	defer unix.Close(fd)
	if info, err := unix.IoctlGetEthtoolDrvinfo(fd, name); err == nil {
		h.driver = unix.ByteSliceToString(info.Driver[:])
		h.bus = unix.ByteSliceToString(info.Bus_info[:])
	}
	// struct ethtool_value and its flag ETH_FLAG_LRO of <linux/ethtool.h>.
	const flagLRO = 1 << 15
	flags := struct{ command, value uint32 }{command: unix.ETHTOOL_GFLAGS}
	if ethtool(fd, name, unsafe.Pointer(&flags)) == nil {
		h.lro = flags.value&flagLRO != 0
	}
	// struct ethtool_channels.
	var channels struct {
		command                                 uint32
		mostRX, mostTX, mostOther, mostCombined uint32
		rx, tx, other, combined                 uint32
	}
	channels.command = unix.ETHTOOL_GCHANNELS
	if ethtool(fd, name, unsafe.Pointer(&channels)) == nil {
		h.queues = channels.combined + channels.tx
		h.mostQueues = channels.mostCombined + channels.mostTX
	}
	return h
}

// ethtool sends a command, which begins with its number and is answered in place.
func ethtool(fd int, name string, command unsafe.Pointer) error {
	// struct ifreq: a name and a union of 24 bytes, of which a pointer is used.
	request := struct {
		name    [unix.IFNAMSIZ]byte
		command unsafe.Pointer
		_       [16]byte
	}{command: command}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(command)
	if errno != 0 {
		return errno
	}
	return nil
}
