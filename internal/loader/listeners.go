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
	sockets := w.tcp
	if protocol == unix.IPPROTO_UDP {
		sockets = w.udp
	}
	return slices.ContainsFunc(sockets, func(s netip.AddrPort) bool {
		everywhere := s.Addr().IsUnspecified() || !address.IsValid() && !s.Addr().IsLoopback()
		return first <= s.Port() && s.Port() <= last && (everywhere || s.Addr() == address)
	})
}

// answerPatience bounds the question whether somebody answers. This host's own
// kernel answers at once, unless a firewall drops the question.
const answerPatience = 10 * time.Millisecond

// Answers says whether somebody serves these ports of this host: a process that
// waits there, or for TCP, a translator that makes a connection succeed.
func (w *Listeners) Answers(host *Host, protocol uint8, address netip.Addr, first, last uint16) bool {
	if w.Listens(protocol, address, first, last) {
		return true
	}
	if protocol != unix.IPPROTO_TCP {
		return false
	}
	candidates := []netip.Addr{address}
	if !address.IsValid() {
		candidates = []netip.Addr{host.Address(false), host.Address(true)}
	}
	answered := false
	_ = w.namespace.Do(func() error {
		for _, a := range candidates {
			answered = answered || a.IsValid() && connects(netip.AddrPortFrom(a, first))
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
