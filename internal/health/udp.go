// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// udp is what is kept from one check by UDP to the next: the kernel takes three seconds to
// find that there is no such machine in a network of its own, and then says so to the
// socket that has sent something.
type udp struct {
	conn   net.Conn
	target netip.AddrPort
	// unreachable is the last such error, which was heard at heard.
	unreachable error
	heard       time.Time
}

// doubt is for how long silence says nothing after the kernel has said that there is no such
// machine: it may be looking for it again.
const doubt = 4 * time.Second

// ask sends an empty datagram, and is content unless ICMP says that nobody gets it, or
// nobody got the one before. An answer settles it.
func (u *udp) ask(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), target netip.AddrPort) error {
	if u.target != target {
		u.hangUp()
	}
	var before error
	if u.conn != nil {
		if _, before = u.conn.Write(nil); before != nil {
			u.hear(before)
		}
	}
	if u.conn == nil {
		conn, err := dial(ctx, "udp", target.String())
		if err != nil {
			return err
		}
		u.conn, u.target = conn, target
		hearEverything(conn)
		if _, err := conn.Write(nil); err != nil {
			u.hear(err)
			return err
		}
	}
	answered, err := listen(ctx, u.conn)
	switch {
	case err != nil:
		u.hear(err)
		return err
	case answered:
		u.unreachable = nil
		return nil
	case before == nil && u.unreachable != nil && time.Since(u.heard) < doubt:
		return u.unreachable
	}
	return before
}

// hear notes an error. The kernel keeps what ICMP said with the socket, and so the next
// check takes another.
func (u *udp) hear(err error) {
	u.hangUp()
	if !refused(err) {
		u.unreachable, u.heard = err, time.Now()
	}
}

// hangUp closes the socket.
func (u *udp) hangUp() {
	if u.conn != nil {
		u.conn.Close()
		u.conn = nil
	}
}

// listen waits for an answer or an error.
func listen(ctx context.Context, conn net.Conn) (answered bool, err error) {
	deadline, _ := ctx.Deadline()
	_ = conn.SetReadDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var answer [1]byte
	_, err = conn.Read(answer[:])
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return false, nil
	}
	return err == nil, err
}

// hearEverything has a socket told of errors that the kernel takes to pass, such as that
// there is no such machine.
func hearEverything(conn net.Conn) {
	c, can := conn.(syscall.Conn)
	if !can {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1)
		}
	})
}
