// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call makes a system call without telling the Go scheduler. The thread may
// block in it, which is right for a process that has nothing else to do.
func call(trap, a, b, c uintptr) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(trap, a, b, c)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

func read(fd int, b []byte) (int, error) {
	return call(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
}

func write(fd int, b []byte) (int, error) {
	return call(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
}

// writeAll writes all of b to a blocking descriptor.
func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := write(fd, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func closeFD(fd int) { _, _ = call(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// sockaddr is a socket address as the kernel reads and writes it.
type sockaddr struct {
	raw    [unix.SizeofSockaddrInet6]byte
	length uint32
}

// newSockaddr encodes ap: family in host order, port and address in network
// order.
func newSockaddr(ap netip.AddrPort) sockaddr {
	var s sockaddr
	s.raw[2], s.raw[3] = byte(ap.Port()>>8), byte(ap.Port())
	family := (*uint16)(unsafe.Pointer(&s.raw[0]))
	if ap.Addr().Is4() {
		*family = unix.AF_INET
		a := ap.Addr().As4()
		copy(s.raw[4:], a[:])
		s.length = unix.SizeofSockaddrInet4
		return s
	}
	*family = unix.AF_INET6
	a := ap.Addr().As16()
	copy(s.raw[8:], a[:])
	s.length = unix.SizeofSockaddrInet6
	return s
}

// socket opens a socket of the family of target. IPPROTO_TCP is named because
// MPTCP is another protocol.
func socket(target netip.AddrPort, kind uintptr) (int, error) {
	family, protocol := uintptr(unix.AF_INET6), uintptr(unix.IPPROTO_UDP)
	if target.Addr().Is4() {
		family = unix.AF_INET
	}
	if kind&unix.SOCK_STREAM != 0 {
		protocol = unix.IPPROTO_TCP
	}
	fd, err := call(unix.SYS_SOCKET, family, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	return fd, nil
}

func connect(fd int, to *sockaddr) error {
	_, err := call(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(to)), uintptr(to.length))
	return err
}

func bind(fd int, to *sockaddr) error {
	_, err := call(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(to)), uintptr(to.length))
	return os.NewSyscallError("bind", err)
}

// dial opens a connected socket. What blocks on it fails with EAGAIN when
// patience ends.
func dial(target netip.AddrPort, kind uintptr) (int, error) {
	fd, err := socket(target, kind)
	if err != nil {
		return -1, err
	}
	to := newSockaddr(target)
	wait := unix.NsecToTimeval(patience.Nanoseconds())
	err = errors.Join(
		os.NewSyscallError("setsockopt", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait)),
		os.NewSyscallError("setsockopt", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait)),
		os.NewSyscallError("connect", connect(fd, &to)),
	)
	if err != nil {
		closeFD(fd)
		return -1, fmt.Errorf("dial %v: %w", target, err)
	}
	return fd, nil
}

// poller is an epoll instance, level-triggered.
type poller struct {
	fd     int
	events [64]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &poller{fd: fd}, nil
}

// watch adds fd (op EPOLL_CTL_ADD) or changes what is awaited of it
// (EPOLL_CTL_MOD).
func (p *poller) watch(op, fd int, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(fd)}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// wait returns the descriptors that are ready; the slice is valid until the
// next call. After so long it returns none; a negative time is for ever.
func (p *poller) wait(limit time.Duration) ([]unix.EpollEvent, error) {
	ms := int(limit.Milliseconds())
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
			uintptr(len(p.events)), uintptr(ms), 0, 0)
		switch errno {
		case 0:
			return p.events[:n], nil
		case unix.EINTR:
		default:
			return nil, os.NewSyscallError("epoll_pwait", errno)
		}
	}
}

func (p *poller) close() { closeFD(p.fd) }

// Environ is what a process of this package wants in its environment: no
// signals from the Go runtime in the middle of a system call, no garbage
// collection of the little that there is, one processor.
var Environ = []string{"GODEBUG=asyncpreemptoff=1", "GOGC=off", "GOMEMLIMIT=64MiB", "GOMAXPROCS=1"}

// settle keeps the caller on its thread for good.
func settle() { runtime.LockOSThread() }
