// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Flood sends datagrams of that size to an address, as fast as it can, from one
// processor, and returns when all of them are sent: as many packets, for the kernel
// refuses what it cannot send. It may run on a goroutine of its own.
func (n *Namespace) Flood(to netip.AddrPort, cpu, datagrams, size int) error {
	raw, err := n.Dial("udp", to, netip.AddrPort{})
	if err != nil {
		return err
	}
	defer raw.Close()
	socket, err := raw.(*net.UDPConn).SyscallConn()
	if err != nil {
		return err
	}
	// Never unlocked: a thread that is bound to a processor ends with its goroutine.
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			done <- fmt.Errorf("use processor %d alone: %w", cpu, err)
			return
		}
		var failed error
		err := socket.Write(func(fd uintptr) bool {
			for datagrams > 0 && failed == nil {
				sent, err := sendMany(int(fd), min(datagrams, 1024), size)
				datagrams -= sent
				switch {
				case errors.Is(err, unix.EAGAIN):
					return false // again when there is room
				case !errors.Is(err, unix.EINTR):
					failed = err
				}
			}
			return true
		})
		done <- errors.Join(failed, err)
	}()
	return <-done
}

// sendMany sends datagrams of zeros by one system call, and returns how many it has
// sent.
func sendMany(fd, count, size int) (sent int, err error) {
	// struct mmsghdr of <sys/socket.h>.
	type message struct {
		header unix.Msghdr
		length uint32
	}
	payload := make([]byte, size)
	vector := unix.Iovec{Base: unsafe.SliceData(payload)}
	vector.SetLen(size)
	messages := make([]message, count)
	for i := range messages {
		messages[i].header.Iov = &vector
		messages[i].header.SetIovlen(1)
	}
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&messages[0])), uintptr(count), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// CPUs are the processors that this process may use.
func CPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	var cpus []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}
