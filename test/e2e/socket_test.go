// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"unsafe"

	"github.com/xfwd/xfwd/test/lab"
	"golang.org/x/sys/unix"
)

// onSocket runs fn with the descriptor of a connection.
func onSocket(t *testing.T, conn any, fn func(fd int) error) {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = fn(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Fatal(failed)
	}
}

func setOption(t *testing.T, conn any, level, name, value int) {
	t.Helper()
	onSocket(t, conn, func(fd int) error {
		if err := unix.SetsockoptInt(fd, level, name, value); err != nil {
			return fmt.Errorf("socket option %d/%d: %w", level, name, err)
		}
		return nil
	})
}

// setTTL makes packets of a socket live for a number of hops, and has ICMP
// errors about them kept for icmpError.
func setTTL(t *testing.T, conn any, family netip.Addr, hops int) {
	t.Helper()
	if family.Is4() {
		setOption(t, conn, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
		setOption(t, conn, unix.IPPROTO_IP, unix.IP_TTL, hops)
		return
	}
	setOption(t, conn, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
	setOption(t, conn, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, hops)
}

// icmpError waits for an ICMP error that the kernel has matched to a socket, and
// returns what it means and who sent it.
func icmpError(t *testing.T, conn any) (syscall.Errno, netip.Addr) {
	t.Helper()
	payload, control := make([]byte, 2048), make([]byte, 512)
	var size int
	lab.Eventually(t, lab.Patience, func() (err error) {
		onSocket(t, conn, func(fd int) error {
			_, size, _, _, err = unix.Recvmsg(fd, payload, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			return nil
		})
		return err
	})
	messages, err := unix.ParseSocketControlMessage(control[:size])
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		isError := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR ||
			m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if !isError || len(m.Data) < 16+unix.SizeofSockaddrInet4 {
			continue
		}
		// struct sock_extended_err, then the address of the sender.
		errno := *(*uint32)(unsafe.Pointer(&m.Data[0]))
		sender := m.Data[16:]
		if m.Header.Level == unix.IPPROTO_IP {
			return syscall.Errno(errno), netip.AddrFrom4([4]byte(sender[4:8]))
		}
		return syscall.Errno(errno), netip.AddrFrom16([16]byte(sender[8:24]))
	}
	t.Fatalf("no ICMP error among %v", messages)
	return 0, netip.Addr{}
}

// peer is what getpeername tells a program.
func peer(t *testing.T, conn net.Conn) netip.AddrPort {
	t.Helper()
	var name netip.AddrPort
	onSocket(t, conn, func(fd int) error {
		address, err := unix.Getpeername(fd)
		if err != nil {
			return err
		}
		switch a := address.(type) {
		case *unix.SockaddrInet4:
			name = at(netip.AddrFrom4(a.Addr), uint16(a.Port))
		case *unix.SockaddrInet6:
			name = at(netip.AddrFrom16(a.Addr), uint16(a.Port))
		default:
			return errors.New("getpeername: neither IPv4 nor IPv6")
		}
		return nil
	})
	return name
}
