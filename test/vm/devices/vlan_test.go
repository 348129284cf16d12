// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"errors"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// addVLAN puts a VLAN device on a device.
func addVLAN(t *testing.T, n *lab.Namespace, on, name string, id int) {
	t.Helper()
	addDevice(t, n, &netlink.Vlan{
		LinkAttrs:    netlink.LinkAttrs{Name: name, ParentIndex: n.Index(on)},
		VlanId:       id,
		VlanProtocol: netlink.VLAN_PROTOCOL_8021Q,
	})
}

// addVLANs puts the same VLAN on a device of client and host, and returns the
// host's addresses there.
func addVLANs(t *testing.T, net *lab.Network, on, name string, id int) lab.Addresses {
	t.Helper()
	addVLAN(t, net.Client, on, name, id)
	addVLAN(t, net.Host, on, name, id)
	return subnet(net, name, name, byte(id))
}

// Tagged and untagged clients get through, and tags in tags: each packet meets
// one program, that of the device where its IP layer ends.
func TestVLAN(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*testing.T, *lab.Namespace, string){
		"tags beside frames": func(*testing.T, *lab.Namespace, string) {},
		"tags in frames":     tagInFrames,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			prepare(t, net.Client, "eth0")
			prepare(t, net.Host, "eth0")
			tagged := addVLANs(t, net, "eth0", "eth0.10", 10)
			twice := addVLANs(t, net, "eth0.10", "eth0.10.20", 20)
			x := publish(net.Host)
			hosts := []lab.Addresses{net.HostAddr, tagged, twice}
			for _, host := range hosts {
				mustTellApart(t, net.Client, host)
			}
			mustCount(t, x, uint64(2*len(hosts)))
			mustAttach(t, x, map[string]bool{"eth0": true, "eth0.10": true, "eth0.10.20": true})
		})
	}
}

// A forward that is bound to a VLAN takes nothing of the device below, and the
// other way round.
func TestVLANDevice(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	tagged := addVLANs(t, net, "eth0", "eth0.10", 10)
	for device, hosts := range map[string]struct{ in, out lab.Addresses }{
		"eth0":    {net.HostAddr, tagged},
		"eth0.10": {tagged, net.HostAddr},
	} {
		t.Run(device, func(t *testing.T) {
			net.Lab.Within(t)
			publish(net.Host, "--device", device)
			mustTellApart(t, net.Client, hosts.in)
			for _, network := range networks {
				for family, host := range hosts.out.All() {
					_, err := net.Client.Connect(network, at(host, 80), anyPort)
					if !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("%s %s: %v, want a refusal", network, family, err)
					}
				}
			}
		})
	}
}

// A frame with a priority tag is one of the device itself.
func TestPriorityTag(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	// The client sends by a device that tags with id 0. Answers have no tag, so
	// that neighbours must be told.
	addVLAN(t, net.Client, "eth0", "eth0.0", 0)
	for _, host := range net.HostAddr.All() {
		index := net.Client.Index("eth0.0")
		neighbor := &netlink.Neigh{
			LinkIndex: index, State: unix.NUD_PERMANENT, IP: host.AsSlice(), HardwareAddr: net.Host.MAC("eth0"),
		}
		if err := net.Client.Links().NeighAdd(neighbor); err != nil {
			t.Fatalf("neighbour %v: %v", host, err)
		}
		route := &netlink.Route{
			LinkIndex: index, Scope: unix.RT_SCOPE_LINK,
			Dst: netlink.NewIPNet(host.AsSlice()), Src: net.ClientAddr.Of(host).AsSlice(),
		}
		if err := net.Client.Links().RouteAdd(route); err != nil {
			t.Fatalf("route to %v: %v", host, err)
		}
	}
	x := publish(net.Host)
	before := net.Client.LinkStatistics("eth0.0").TxPackets
	mustTellApart(t, net.Client, net.HostAddr)
	mustCount(t, x, 2)
	if sent := net.Client.LinkStatistics("eth0.0").TxPackets - before; sent < 20 {
		t.Errorf("the client has sent %d frames with a priority tag: the test does not test what it says", sent)
	}
}

// tagInFrames has tags put into frames that a device sends, which by default
// takes them beside the frame.
func tagInFrames(t *testing.T, n *lab.Namespace, device string) {
	t.Helper()
	// Without ETH_FLAG_TXVLAN (1 << 7) of <linux/ethtool.h>, as without any other.
	argument := struct{ command, flags uint32 }{command: unix.ETHTOOL_SFLAGS}
	// struct ifreq: a name and a union of 24 bytes, of which a pointer is used.
	request := struct {
		name     [unix.IFNAMSIZ]byte
		argument unsafe.Pointer
		_        [16]byte
	}{argument: unsafe.Pointer(&argument)}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	n.Do(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
		runtime.KeepAlive(&argument)
		if errno != 0 {
			t.Fatalf("flags of %s in %s: %v", device, n.Name, errno)
		}
	})
}
