// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// chunk is how many bytes one read or write of a bulk transfer moves.
const chunk = 256 << 10

// role is what a descriptor of the server is.
type role uint8

const (
	connected role = iota
	listening
	echoing
)

// server is the state of Serve.
type server struct {
	poll *poller
	// roles are those of descriptors, as far as they are not connections.
	roles []role
	// upload is how many bytes of a PUT each connection still sends, by
	// descriptor.
	upload map[int]int
	buf    []byte
	zeros  []byte
}

// Serve answers TCP and UDP at some addresses, prints a line when it can, and
// returns only when it fails.
func Serve(at []netip.AddrPort, out io.Writer) error {
	settle()
	s := &server{upload: map[int]int{}, buf: make([]byte, chunk), zeros: make([]byte, chunk)}
	if err := s.open(at); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "listening"); err != nil {
		return err
	}
	for {
		events, err := s.poll.wait(-time.Millisecond)
		if err != nil {
			return err
		}
		for _, ev := range events {
			switch fd := int(ev.Fd); s.role(fd) {
			case listening:
				err = s.accept(fd)
			case echoing:
				err = s.echo(fd)
			default:
				err = s.serve(fd)
			}
			if err != nil {
				return err
			}
		}
	}
}

// role is what a descriptor is.
func (s *server) role(fd int) role {
	if fd < len(s.roles) {
		return s.roles[fd]
	}
	return connected
}

// open makes the sockets that clients reach first.
func (s *server) open(at []netip.AddrPort) (err error) {
	if s.poll, err = newPoller(); err != nil {
		return err
	}
	for _, address := range at {
		if err := s.serveAt(address, unix.SOCK_STREAM, listening); err != nil {
			return err
		}
		if err := s.serveAt(address, unix.SOCK_DGRAM, echoing); err != nil {
			return err
		}
	}
	return nil
}

// serveAt makes one of them.
func (s *server) serveAt(address netip.AddrPort, kind uintptr, as role) error {
	fd, err := socket(address, kind|unix.SOCK_NONBLOCK)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	local := newSockaddr(address)
	if err := bind(fd, &local); err != nil {
		return err
	}
	if as == listening {
		if err := unix.Listen(fd, 1024); err != nil {
			return os.NewSyscallError("listen", err)
		}
	}
	s.roles = append(s.roles, make([]role, fd+1-len(s.roles))...)
	s.roles[fd] = as
	return s.poll.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)
}

// accept takes every connection that waits. They are blocking: a large
// answer is written to its end before anything else is served.
func (s *server) accept(listener int) error {
	for {
		fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			if err := s.poll.watch(unix.EPOLL_CTL_ADD, int(fd), unix.EPOLLIN); err != nil {
				return err
			}
		case unix.EAGAIN:
			return nil
		default:
			return os.NewSyscallError("accept4", errno)
		}
	}
}

// echo sends back every datagram that waits.
func (s *server) echo(socket int) error {
	var from sockaddr
	for {
		from.length = uint32(len(from.raw))
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(socket), uintptr(unsafe.Pointer(&s.buf[0])), uintptr(len(s.buf)),
			0, uintptr(unsafe.Pointer(&from.raw[0])), uintptr(unsafe.Pointer(&from.length)))
		if errno == unix.EAGAIN {
			return nil
		}
		if errno == 0 {
			_, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(socket), uintptr(unsafe.Pointer(&s.buf[0])), n,
				0, uintptr(unsafe.Pointer(&from.raw[0])), uintptr(from.length))
		}
		if errno != 0 {
			return os.NewSyscallError("udp echo", errno)
		}
	}
}

// serve reads once from a connection and answers what it asked.
func (s *server) serve(fd int) error {
	n, err := read(fd, s.buf)
	if err != nil || n == 0 {
		return s.drop(fd, err)
	}
	if left, ok := s.upload[fd]; ok {
		return s.take(fd, left-n)
	}
	req, err := parseRequest(s.buf[:n])
	if err != nil {
		return err
	}
	if req.put {
		return s.take(fd, req.size-(n-req.head))
	}
	if err := s.answer(fd, req.size); err != nil {
		return s.drop(fd, err)
	}
	if req.close {
		return s.drop(fd, nil)
	}
	return nil
}

// take accounts for an upload of which left bytes are still to come.
func (s *server) take(fd, left int) error {
	if left > 0 {
		s.upload[fd] = left
		return nil
	}
	delete(s.upload, fd)
	if err := s.answer(fd, 0); err != nil {
		return s.drop(fd, err)
	}
	return nil
}

func (s *server) answer(fd, size int) error {
	head := appendAnswer(s.buf[:0], size)
	first := min(size, cap(head)-len(head))
	if err := writeAll(fd, append(head, s.zeros[:first]...)); err != nil {
		return err
	}
	for size -= first; size > 0; size -= chunk {
		if err := writeAll(fd, s.zeros[:min(size, chunk)]); err != nil {
			return err
		}
	}
	return nil
}

// drop closes a connection. A client that went away is no error.
func (s *server) drop(fd int, err error) error {
	delete(s.upload, fd)
	closeFD(fd)
	if errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		return nil
	}
	return err
}
