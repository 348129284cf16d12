// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/maps"
	"github.com/xfwd/xfwd/test/model"
)

// onLo are addresses of the host's device lo, as VIPs are.
var onLo = addresses("198.51.100.90", "2001:db8:51::90")

// ownContest has sockets of the host ask for what some forwards have, and compares whom
// they get with what the model says.
type ownContest struct {
	*world
	t     *testing.T
	dice  dice
	model model.OwnHost
	// hooks are the programs that are compared, by the pins of their links.
	hooks map[string]*ebpf.Program
	// sockets are those of model.Listeners; inLo says which are bound to lo.
	sockets []int
	inLo    []bool
	words   []string
}

// ownRounds is how often forwards and listeners change at least.
const ownRounds = 60

// The host's own connections go where the model says, whatever is published and whoever
// listens.
func TestOwnModel(t *testing.T) {
	t.Parallel()
	seed := *modelSeed
	if seed == 0 {
		seed = rand.Uint64() >> 16
	}
	w := newWorld(t)
	for _, a := range []netip.Addr{onLo.V4, onLo.V6} {
		w.host.Address("lo", netip.PrefixFrom(a, a.BitLen()))
	}
	c := &ownContest{world: w, t: t, dice: seeded(seed)}
	c.model = model.OwnHost{
		Local:   make(map[netip.Addr]bool),
		Primary: [2]netip.Addr{host.V4, host.V6},
	}
	for _, m := range []machine{host, second, gateway, onLo, loopback} {
		c.model.Local[m.V4], c.model.Local[m.V6] = true, true
	}
	c.loadHooks(*modelObject)
	t.Cleanup(c.closeAll)
	begin := time.Now()
	// Faults get more time than what is right.
	for round := 0; round < ownRounds || *modelObject != "" && time.Since(begin) < *modelTime; round++ {
		if err := c.round(); err != nil {
			t.Fatalf("seed %d, round %d: %v\nforwards: %s\nlisteners: %v, those on lo: %v\nto repeat: go test ./test/packet -run TestOwnModel -model.seed %d",
				seed, round, err, strings.Join(c.words, "; "), c.model.Listeners, c.inLo, seed)
		}
	}
}

// loadHooks loads those of an object file, if there is a name, and else those of the
// command. Nothing hides from a test whom its sockets have got.
func (c *ownContest) loadHooks(object string) {
	c.hooks = make(map[string]*ebpf.Program)
	for name, attach := range map[string]ebpf.AttachType{
		"getpeername4": ebpf.AttachCgroupInet4GetPeername, "getpeername6": ebpf.AttachCgroupInet6GetPeername,
	} {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.CGroupSockAddr, AttachType: attach, License: "GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
		})
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { p.Close() })
		c.hooks[name] = p
	}
	if object == "" {
		return
	}
	spec, err := ebpf.LoadCollectionSpec(object)
	if err != nil {
		c.t.Fatal(err)
	}
	var settings bpf.XfwdSettings
	if err := c.maps.Settings.Lookup(uint32(0), &settings); err != nil {
		c.t.Fatal(err)
	}
	if err := spec.Variables["netns_cookie"].Set(settings.NetnsCookie); err != nil {
		c.t.Fatal(err)
	}
	wanted := make(map[string]*ebpf.ProgramSpec)
	for _, name := range []string{"connect4", "connect6"} {
		wanted["xfwd_"+name] = spec.Programs["xfwd_"+name]
	}
	spec.Programs = wanted
	for name, p := range c.load(c.t, spec).Programs {
		c.hooks[strings.TrimPrefix(name, "xfwd_")] = p
	}
}

// round has other listeners and forwards, asks, closes some listeners, and asks again.
func (c *ownContest) round() error {
	c.closeAll()
	for range c.dice.roll(12) {
		c.listen()
	}
	c.publish()
	for range 60 {
		if err := c.ask(); err != nil {
			return err
		}
	}
	// Those that are bound to lo are known until the next command.
	for i := len(c.sockets) - 1; i >= 0; i-- {
		if !c.inLo[i] && c.dice.roll(2) == 0 {
			c.close(i)
		}
	}
	for range 20 {
		if err := c.ask(); err != nil {
			return fmt.Errorf("after listeners have gone: %w", err)
		}
	}
	return nil
}

var ownPorts = []uint16{80, 81, 9001, 9002, 30080, 30081}

// someone is an address that own connections are for, or listeners at.
func (c *ownContest) someone() netip.Addr {
	f := one(c.dice, bothFamilies...)
	if f == 4 && c.dice.roll(8) == 0 {
		return netip.AddrFrom4([4]byte{127, 0, 0, 53})
	}
	return one(c.dice, loopback, loopback, host, second, onLo).address(f)
}

// listen opens a listener at one address or at all, of the device lo or of none.
func (c *ownContest) listen() {
	l := model.Listener{Protocol: one(c.dice, uint8(unix.IPPROTO_TCP), unix.IPPROTO_UDP)}
	address, device := c.someone(), ""
	switch c.dice.roll(4) {
	case 0:
		address = netip.IPv6Unspecified()
	case 1:
		device = "lo"
	}
	l.Local = netip.AddrPortFrom(address, one(c.dice, ownPorts...))
	if slices.Contains(c.model.Listeners, l) {
		return
	}
	fd := c.socket(l.Protocol, address.Is4())
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	if device != "" {
		err = errors.Join(err, unix.BindToDevice(fd, device))
	}
	err = errors.Join(err, unix.Bind(fd, sockaddr(l.Local, false)))
	if l.Protocol == unix.IPPROTO_TCP {
		err = errors.Join(err, unix.Listen(fd, 16))
	}
	if err != nil {
		c.t.Fatalf("listen at %v: %v", l.Local, err)
	}
	c.model.Listeners = append(c.model.Listeners, l)
	c.sockets, c.inLo = append(c.sockets, fd), append(c.inLo, device != "")
}

func (c *ownContest) close(i int) {
	unix.Close(c.sockets[i])
	c.sockets, c.inLo = slices.Delete(c.sockets, i, i+1), slices.Delete(c.inLo, i, i+1)
	c.model.Listeners = slices.Delete(c.model.Listeners, i, i+1)
}

func (c *ownContest) closeAll() {
	for len(c.sockets) > 0 {
		c.close(0)
	}
}

// socket makes one in the host's namespace.
func (c *ownContest) socket(protocol uint8, ipv4 bool) (fd int) {
	family, kind := unix.AF_INET6, unix.SOCK_STREAM
	if ipv4 {
		family = unix.AF_INET
	}
	if protocol == unix.IPPROTO_UDP {
		kind = unix.SOCK_DGRAM
	}
	c.world.host.Do(func() {
		var err error
		if fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0); err != nil {
			c.t.Fatal(err)
		}
	})
	return fd
}

// publish has other forwards, as the command does it.
func (c *ownContest) publish() {
	var all []ctl.Forward
	c.words, c.model.Forwards = nil, nil
	for range 1 + c.dice.roll(5) {
		spec := ctl.Spec{Own: string(one(c.dice, ctl.OwnAuto, ctl.OwnAuto, ctl.OwnAlways, ctl.OwnNever))}
		spec.Frontend = one(c.dice, "80", "80", "81", "9000-9003", "9001", "30080")
		spec.Backends = []string{one(c.dice, "30080", "30080", "30081", spell("pod:8080", 4), spell("pod:8080", 6))}
		if spec.Frontend == "9000-9003" && c.dice.roll(2) == 0 {
			spec.Backends = []string{"30079-30082"}
		}
		if c.dice.roll(2) == 0 {
			f := one(c.dice, bothFamilies...)
			spec.Frontend = joined(one(c.dice, host, vip, onLo, loopback).address(f), spec.Frontend)
			if strings.Contains(spec.Backends[0], ":") {
				spec.Backends[0] = spell("pod:8080", f)
			}
		}
		spec.Frontend += one(c.dice, "/tcp", "/udp", "/tcp+udp")
		switch c.dice.roll(8) {
		case 0:
			spec.Devices = []string{"lo"}
		case 1:
			spec.Devices = []string{"eth0"}
		case 2:
			spec.Devices = []string{"eth0", "lo"}
		}
		forwards, err := spec.Forwards(time.Now())
		if errors.Is(err, ctl.ErrSyntax) { // own never where there is nothing else
			continue
		}
		must(err)
		for _, f := range forwards {
			conflicts := func(o ctl.Forward) bool { return f.Frontend.Conflicts(o.Frontend) }
			if !slices.ContainsFunc(all, conflicts) {
				all = append(all, f)
				c.model.Forwards = append(c.model.Forwards, ownForward(f))
				c.words = append(c.words, fmt.Sprintf("%v own %s", f, f.Own))
			}
		}
	}
	c.change(c.t, ctl.ApplyFile(all, true), ctl.ExistingKeep)
	for name, p := range c.hooks {
		if err := replaceProgram(filepath.Join(c.pins, "links", name), p); err != nil {
			c.t.Fatal(err)
		}
	}
}

func joined(a netip.Addr, port string) string {
	if a.Is6() {
		return "[" + a.String() + "]:" + port
	}
	return a.String() + ":" + port
}

func ownForward(f ctl.Forward) model.OwnForward {
	b := f.Backends[0]
	return model.OwnForward{
		Protocol:    uint8(f.Frontend.Protocol),
		Address:     f.Frontend.Address,
		Ports:       maps.PortRange(f.Frontend.Ports),
		OnLoopback:  slices.Contains(f.Frontend.Devices, "lo"),
		AnyDevice:   len(f.Frontend.Devices) == 0,
		Own:         map[ctl.Own]maps.Own{ctl.OwnAuto: maps.OwnAuto, ctl.OwnAlways: maps.OwnAlways, ctl.OwnNever: maps.OwnNever}[f.Own],
		Target:      b.Address,
		TargetPorts: maps.PortRange(b.Ports),
	}
}

// ask has a socket connect, and compares whom it gets.
func (c *ownContest) ask() error {
	protocol := one(c.dice, uint8(unix.IPPROTO_TCP), unix.IPPROTO_UDP)
	to := c.someone()
	switch c.dice.roll(8) {
	case 0:
		to = one(c.dice, netip.IPv4Unspecified(), netip.IPv6Unspecified())
	case 1:
		to = one(c.dice, vip, remote, gateway).address(one(c.dice, bothFamilies...))
	case 2:
		to = netip.AddrFrom4([4]byte{127, 0, 0, 2})
	}
	asked := netip.AddrPortFrom(to, one(c.dice, ownPorts...))
	if n := len(c.model.Listeners); n > 0 && c.dice.roll(3) == 0 {
		asked = c.model.Listeners[c.dice.roll(n)].Local
		to = asked.Addr()
	}
	mapped := to.Is4() && c.dice.roll(3) == 0
	got, err := c.connect(protocol, asked, mapped)
	if err != nil {
		return fmt.Errorf("protocol %d to %v, mapped %v: %w", protocol, asked, mapped, err)
	}
	if want := model.Reached(c.model.Peer(protocol, asked)); got != want {
		return fmt.Errorf("protocol %d to %v, mapped %v: got %v, the model says %v", protocol, asked, mapped, got, want)
	}
	return nil
}

// connect returns the peer that a new socket has once it is connected. No packet is
// sent.
func (c *ownContest) connect(protocol uint8, to netip.AddrPort, mapped bool) (netip.AddrPort, error) {
	fd := c.socket(protocol, to.Addr().Is4() && !mapped)
	defer unix.Close(fd)
	if protocol == unix.IPPROTO_TCP {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR, 1); err != nil {
			return netip.AddrPort{}, err
		}
	}
	if err := unix.Connect(fd, sockaddr(to, mapped)); err != nil {
		return netip.AddrPort{}, err
	}
	name, err := unix.Getpeername(fd)
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), err
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)), err
	}
	return netip.AddrPort{}, fmt.Errorf("the peer is %v: %w", name, err)
}

// sockaddr is an address as the kernel takes it; mapped: an IPv4 address for an IPv6
// socket.
func sockaddr(a netip.AddrPort, mapped bool) unix.Sockaddr {
	if a.Addr().Is4() && !mapped {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
