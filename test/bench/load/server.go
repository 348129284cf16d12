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

// server is the state of Serve.
type server struct {
	poll          *poller
	listener, udp int
	// upload is how many bytes of a PUT each connection still sends, by
	// descriptor.
	upload map[int]int
	buf    []byte
	zeros  []byte
}

// Serve answers TCP and UDP on at, prints a line when it can, and returns
// only when it fails.
func Serve(at netip.AddrPort, out io.Writer) error {
	settle()
	s := &server{upload: map[int]int{}, buf: make([]byte, chunk), zeros: make([]byte, chunk)}
	if err := s.listen(at); err != nil {
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
			switch fd := int(ev.Fd); fd {
			case s.listener:
				err = s.accept()
			case s.udp:
				err = s.echo()
			default:
				err = s.serve(fd)
			}
			if err != nil {
				return err
			}
		}
	}
}

func (s *server) listen(at netip.AddrPort) (err error) {
	if s.poll, err = newPoller(); err != nil {
		return err
	}
	local := newSockaddr(at)
	if s.listener, err = socket(at, unix.SOCK_STREAM|unix.SOCK_NONBLOCK); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(s.listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := bind(s.listener, &local); err != nil {
		return err
	}
	if err := unix.Listen(s.listener, 1024); err != nil {
		return os.NewSyscallError("listen", err)
	}
	if s.udp, err = socket(at, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK); err != nil {
		return err
	}
	if err := bind(s.udp, &local); err != nil {
		return err
	}
	for _, fd := range []int{s.listener, s.udp} {
		if err := s.poll.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
			return err
		}
	}
	return nil
}

// accept takes every connection that waits. They are blocking: a large
// answer is written to its end before anything else is served.
func (s *server) accept() error {
	for {
		fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(s.listener), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
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
func (s *server) echo() error {
	var from sockaddr
	for {
		from.length = uint32(len(from.raw))
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.udp), uintptr(unsafe.Pointer(&s.buf[0])), uintptr(len(s.buf)),
			0, uintptr(unsafe.Pointer(&from.raw[0])), uintptr(unsafe.Pointer(&from.length)))
		if errno == unix.EAGAIN {
			return nil
		}
		if errno == 0 {
			_, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.udp), uintptr(unsafe.Pointer(&s.buf[0])), n,
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
