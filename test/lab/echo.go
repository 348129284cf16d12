// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Patience is how long a client waits for a connection or an answer. Nothing in
// a lab takes that long unless it fails.
const Patience = 3 * time.Second

// Echo is a server that tells each client which addresses it sees, and then
// sends back what it gets.
type Echo struct {
	mu      sync.Mutex
	clients []netip.AddrPort
}

// Clients are the peers of all connections, or the senders of all datagrams, so
// far.
func (e *Echo) Clients() []netip.AddrPort {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]netip.AddrPort(nil), e.clients...)
}

func (e *Echo) met(client netip.AddrPort) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clients = append(e.clients, client)
}

// Echo serves tcp or udp at an address such as ":30080" until the test ends. An
// address without a host serves both families.
func (n *Namespace) Echo(network, address string) *Echo {
	n.lab.tb.Helper()
	e := &Echo{}
	if network == "udp" {
		conn := n.ListenUDP(address)
		go e.serveUDP(conn)
		return e
	}
	n.Serve(address, e.serveTCP)
	return e
}

// ServeEcho serves tcp or udp at an address of this process's own namespace, as Echo
// does, until the process ends. It returns if it cannot.
func ServeEcho(network, address string) error {
	e := &Echo{}
	if network == "udp" {
		conn, err := net.ListenPacket(network, address)
		if err == nil {
			e.serveUDP(conn.(*net.UDPConn))
		}
		return err
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			e.serveTCP(conn)
		}()
	}
}

func (e *Echo) serveTCP(conn net.Conn) {
	client, server := addrPort(conn.RemoteAddr()), addrPort(conn.LocalAddr())
	e.met(client)
	fmt.Fprintf(conn, "%v %v\n", client, server)
	io.Copy(conn, conn)
}

func (e *Echo) serveUDP(conn *net.UDPConn) {
	server := addrPort(conn.LocalAddr())
	datagram := make([]byte, 1<<16)
	for {
		size, client, err := conn.ReadFromUDPAddrPort(datagram)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			continue // an ICMP error of an earlier answer
		}
		plain := netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
		e.met(plain)
		answer := fmt.Appendf(nil, "%v %v\n", plain, server)
		conn.WriteToUDPAddrPort(append(answer, datagram[:size]...), client)
	}
}

// Serve accepts TCP connections until the test ends and hands each to serve,
// after which it is closed.
func (n *Namespace) Serve(address string, serve func(net.Conn)) {
	n.lab.tb.Helper()
	var listener net.Listener
	var err error
	n.Do(func() { listener, err = net.Listen("tcp", address) })
	if err != nil {
		n.lab.tb.Fatalf("listening in %s: %v", n.Name, err)
	}
	n.lab.tb.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
}

// ListenUDP opens a UDP socket, which the end of the test closes.
func (n *Namespace) ListenUDP(address string) *net.UDPConn {
	n.lab.tb.Helper()
	var conn net.PacketConn
	var err error
	n.Do(func() { conn, err = net.ListenPacket("udp", address) })
	if err != nil {
		n.lab.tb.Fatalf("listening in %s: %v", n.Name, err)
	}
	n.lab.tb.Cleanup(func() { conn.Close() })
	return conn.(*net.UDPConn)
}

// Dial connects to an address. From, if valid, is the client's own address; its
// port may be in use towards other servers.
func (n *Namespace) Dial(network string, to, from netip.AddrPort) (net.Conn, error) {
	n.lab.tb.Helper()
	dialer := net.Dialer{Timeout: Patience}
	switch {
	case from.IsValid():
		dialer.Control = reuseAddress
		dialer.LocalAddr = net.TCPAddrFromAddrPort(from)
		if network == "udp" {
			dialer.LocalAddr = net.UDPAddrFromAddrPort(from)
		}
	case network == "udp":
		return n.dialUDP(dialer, to)
	}
	return n.dial(dialer, network, to)
}

func (n *Namespace) dial(dialer net.Dialer, network string, to netip.AddrPort) (net.Conn, error) {
	n.lab.tb.Helper()
	var conn net.Conn
	var err error
	n.Do(func() { conn, err = dialer.DialContext(context.Background(), network, to.String()) })
	return conn, err
}

// The ports from which Linux chooses, unless told otherwise.
const firstEphemeral, lastEphemeral = 32768, 60999

// dialUDP connects from the port that the clients of this namespace have not had
// for longest. The kernel chooses at random, soon one again whose flow still stands:
// that client would be the old one, to everybody on the way.
func (n *Namespace) dialUDP(dialer net.Dialer, to netip.AddrPort) (conn net.Conn, err error) {
	n.lab.tb.Helper()
	const ports = lastEphemeral - firstEphemeral + 1
	for range ports {
		port := firstEphemeral + (n.udpClients.Add(1)-1)%ports
		dialer.LocalAddr = &net.UDPAddr{Port: int(port)}
		conn, err = n.dial(dialer, "udp", to)
		// A server may have it, or a client that is no test's.
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return conn, err
}

func reuseAddress(_, _ string, raw syscall.RawConn) error {
	var err error
	if failed := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}); failed != nil {
		return failed
	}
	return err
}

// Conn is a client's connection to an Echo server.
type Conn struct {
	net.Conn
	// Client and Server are the two ends as the server sees them. The address
	// of a UDP server is the one that its socket is bound to.
	Client, Server netip.AddrPort

	network string
	reader  *bufio.Reader
}

// Connect connects to an Echo server and waits for its first answer. From is as
// for Dial.
func (n *Namespace) Connect(network string, to, from netip.AddrPort) (*Conn, error) {
	n.lab.tb.Helper()
	raw, err := n.Dial(network, to, from)
	if err != nil {
		return nil, err
	}
	conn := &Conn{Conn: raw, network: network, reader: bufio.NewReaderSize(raw, 1<<16)}
	if network == "udp" {
		err = conn.Echo([]byte("hello"))
	} else {
		raw.SetReadDeadline(time.Now().Add(Patience))
		err = conn.readSeen()
	}
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("echo at %v: %w", to, err)
	}
	n.lab.tb.Cleanup(func() { raw.Close() })
	return conn, nil
}

// MustConnect is Connect from any port; it fails the test when it fails.
func (n *Namespace) MustConnect(network string, to netip.AddrPort) *Conn {
	n.lab.tb.Helper()
	conn, err := n.Connect(network, to, netip.AddrPort{})
	if err != nil {
		n.lab.tb.Fatalf("%s from %s: %v", network, n.Name, err)
	}
	return conn
}

// Echo sends a payload and waits until the server has sent the same back.
func (c *Conn) Echo(payload []byte) error {
	c.SetDeadline(time.Now().Add(Patience))
	if _, err := c.Write(payload); err != nil {
		return err
	}
	if c.network == "udp" {
		// One datagram bears the addresses and the payload.
		if err := c.readSeen(); err != nil {
			return err
		}
	}
	echoed := make([]byte, len(payload))
	if _, err := io.ReadFull(c.reader, echoed); err != nil {
		return err
	}
	if !bytes.Equal(payload, echoed) {
		return fmt.Errorf("%d bytes came back as others", len(payload))
	}
	return nil
}

// readSeen reads the line in which the server tells what it sees.
func (c *Conn) readSeen() error {
	line, err := c.reader.ReadString('\n')
	if err != nil {
		return err
	}
	var client, server string
	if _, err := fmt.Sscan(line, &client, &server); err != nil {
		return fmt.Errorf("bad answer %q: %w", line, err)
	}
	if c.Client, err = netip.ParseAddrPort(client); err != nil {
		return err
	}
	c.Server, err = netip.ParseAddrPort(server)
	return err
}

// Local is the client's end of the connection as the client sees it.
func (c *Conn) Local() netip.AddrPort { return addrPort(c.LocalAddr()) }

// addrPort converts an address of the net package; IPv4 is always IPv4.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
