// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// Listeners are the sockets of the namespace that wait for somebody.
type Listeners struct {
	namespace *Namespace
	tcp, udp  []netip.AddrPort
	// translators are looked for when somebody asks for them.
	translators translators
	// onLoopback are those that are bound to the device lo and to an address.
	onLoopback []maps.Listener
}

// Listeners looks who waits now. A kernel that does not tell leaves it empty.
func (l *Loader) Listeners() *Listeners {
	w := &Listeners{namespace: l.namespace}
	_ = l.namespace.Do(func() error {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			if err := w.look(family, unix.IPPROTO_TCP, &w.tcp); err != nil {
				return err
			}
			if err := w.look(family, unix.IPPROTO_UDP, &w.udp); err != nil {
				return err
			}
		}
		return nil
	})
	return w
}

// Listens says whether a process waits on one of these ports for packets to an
// address; the zero Addr is any from outside.
func (w *Listeners) Listens(protocol uint8, address netip.Addr, first, last uint16) bool {
	return len(w.Ports(protocol, address, first, last)) > 0
}

// Ports returns those of some ports on which a process waits for packets to an address,
// in their order; the zero Addr is any from outside.
func (w *Listeners) Ports(protocol uint8, address netip.Addr, first, last uint16) []uint16 {
	var ports []uint16
	for _, s := range w.sockets(protocol) {
		everywhere := s.Addr().IsUnspecified() || !address.IsValid() && !s.Addr().IsLoopback()
		if first <= s.Port() && s.Port() <= last && (everywhere || s.Addr() == address) {
			ports = append(ports, s.Port())
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

func (w *Listeners) sockets(protocol uint8) []netip.AddrPort {
	if protocol == unix.IPPROTO_UDP {
		return w.udp
	}
	return w.tcp
}

// OnLoopback returns a loopback address on which a process waits on one of these ports.
// The kernel keeps packets from outside away from it.
func (w *Listeners) OnLoopback(protocol uint8, first, last uint16) (address netip.Addr, found bool) {
	for _, s := range w.sockets(protocol) {
		if first <= s.Port() && s.Port() <= last && s.Addr().IsLoopback() {
			return s.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// answerPatience bounds the question whether somebody answers. This host's own
// kernel answers at once, unless a firewall drops the question.
const answerPatience = 10 * time.Millisecond

// Connects says whether a TCP connection to a port of this host succeeds, as it does
// where a translator serves it. The zero Addr is the host's own address of either family.
func (w *Listeners) Connects(host *Host, address netip.Addr, port uint16) bool {
	candidates := []netip.Addr{address}
	if !address.IsValid() {
		candidates = []netip.Addr{host.Address(false), host.Address(true)}
	}
	answered := false
	_ = w.namespace.Do(func() error {
		for _, a := range candidates {
			answered = answered || a.IsValid() && connects(netip.AddrPortFrom(a, port))
		}
		return nil
	})
	return answered
}

// connects makes a connection from the current thread, and so in its namespace;
// the net package would do so from any.
func connects(to netip.AddrPort) bool {
	family, address := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()})
	if to.Addr().Is4() {
		family, address = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, address); err != unix.EINPROGRESS {
		return err == nil
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if n, err := unix.Poll(poll, int(answerPatience.Milliseconds())); n == 0 || err != nil {
		return false
	}
	result, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	return err == nil && result == 0
}

// look adds the local ends of sockets that wait for somebody: TCP listeners, and UDP
// sockets without a peer.
func (w *Listeners) look(family, protocol uint8, sockets *[]netip.AddrPort) error {
	states := uint32(stateListen)
	if protocol == unix.IPPROTO_UDP {
		states = stateClose
	}
	return listSockets(family, protocol, states, func(id diagID) {
		local := id.local(family)
		*sockets = append(*sockets, local)
		if id.device() == loopbackIndex && !local.Addr().IsUnspecified() {
			w.onLoopback = append(w.onLoopback, maps.Listener{Protocol: protocol, Local: local})
		}
	})
}

// ByName returns the addresses of this host at which processes listen by name, and not
// at all addresses, on one of these ports.
func (w *Listeners) ByName(protocol uint8, first, last uint16) []netip.AddrPort {
	sockets := w.tcp
	if protocol == unix.IPPROTO_UDP {
		sockets = w.udp
	}
	var named []netip.AddrPort
	for _, s := range sockets {
		if !s.Addr().IsUnspecified() && first <= s.Port() && s.Port() <= last {
			named = append(named, s)
		}
	}
	slices.SortFunc(named, netip.AddrPort.Compare)
	return slices.Compact(named)
}

// TellListeners makes the programs know the listeners that they cannot find by themselves.
func (d *Dataplane) TellListeners(w *Listeners) error {
	return d.Maps.PutLoopbackListeners(w.onLoopback)
}
