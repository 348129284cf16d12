// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The most of each that any driver has.
const (
	mostDriverCounters = 1024
	featureBlocks      = 4
)

// DriverCounters are what the driver of a device counts, as `ethtool -S` shows it,
// in the driver's own words with underscores for blanks.
func (n *Namespace) DriverCounters(device string) map[string]uint64 {
	n.lab.tb.Helper()
	const stringSetStats = 1 // ETH_SS_STATS
	names := struct {
		command, set, count uint32
		names               [mostDriverCounters][32]byte // ETH_GSTRING_LEN
	}{command: unix.ETHTOOL_GSTRINGS, set: stringSetStats}
	values := struct {
		command, count uint32
		values         [mostDriverCounters]uint64
	}{command: unix.ETHTOOL_GSTATS}
	n.ethtool(device, func(fd int) error {
		// The kernel writes as many as there are, whatever is asked for.
		info, err := unix.IoctlGetEthtoolDrvinfo(fd, device)
		if err != nil {
			return err
		}
		if info.N_stats > mostDriverCounters {
			n.lab.tb.Fatalf("%s in %s has %d counters", device, n.Name, info.N_stats)
		}
		names.count, values.count = info.N_stats, info.N_stats
		if err := ethtool(fd, device, unsafe.Pointer(&names)); err != nil {
			return err
		}
		return ethtool(fd, device, unsafe.Pointer(&values))
	})
	counters := make(map[string]uint64, values.count)
	for i, value := range values.values[:values.count] {
		name := strings.TrimSpace(unix.ByteSliceToString(names.names[i][:]))
		counters[strings.ReplaceAll(name, " ", "_")] = value
	}
	return counters
}

// Features are the offloads and other features of a device that are on, as a set of
// bits whose meaning is the running kernel's.
func (n *Namespace) Features(device string) (active [featureBlocks]uint32) {
	n.lab.tb.Helper()
	// struct ethtool_gfeatures.
	features := struct {
		command, blocks uint32
		block           [featureBlocks]struct{ available, requested, active, neverChanged uint32 }
	}{command: unix.ETHTOOL_GFEATURES, blocks: featureBlocks}
	n.ethtool(device, func(fd int) error { return ethtool(fd, device, unsafe.Pointer(&features)) })
	for i := range active {
		active[i] = features.block[i].active
	}
	return active
}

// ethtool does something with a socket of the namespace for ethtool's commands about
// a device.
func (n *Namespace) ethtool(device string, do func(fd int) error) {
	n.lab.tb.Helper()
	n.Do(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			n.lab.tb.Fatalf("socket in %s: %v", n.Name, err)
		}
		defer unix.Close(fd)
		if err := do(fd); err != nil {
			n.lab.tb.Fatalf("ethtool of %s in %s: %v", device, n.Name, err)
		}
	})
}

// ethtool sends a command, which begins with its number and is answered in place.
func ethtool(fd int, device string, command unsafe.Pointer) error {
	// struct ifreq: a name and a union of 24 bytes, of which a pointer is used.
	request := struct {
		name    [unix.IFNAMSIZ]byte
		command unsafe.Pointer
		_       [16]byte
	}{command: command}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(command)
	if errno != 0 {
		return errno
	}
	return nil
}
