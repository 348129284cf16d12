// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// The programs for bridges and for devices without a link layer, which the verifier takes
// long to look at, are loaded when a command or serve meets the first of these devices. An
// upgrade replaces what is there. A serve of another build leaves a bridge's port alone, and
// says so, until a command comes.
func TestProgramsComeWithTheirDevices(t *testing.T) {
	t.Parallel()
	lab.Need(t, "ip")
	l := lab.New(t)
	lan := l.Direct()
	x := lan.Host.XFWD()
	x.Add("80", "30080")
	lan.Host.Echo("tcp", ":30080")
	mustHaveFew := func(when string) {
		t.Helper()
		for _, name := range pinnedPrograms(t, x) {
			if strings.Contains(name, "port") || strings.Contains(name, "bridge") || strings.Contains(name, "raw") || strings.Contains(name, "xdp") {
				t.Errorf("%s, %s is loaded", when, name)
			}
		}
	}
	mustHaveFew("at first")
	mustEcho(t, lan.Client.MustConnect("tcp", at(lan.HostAddr.V4, 80)))

	ofAnotherBuild(t, x)
	before := pinnedProgram(t, x)
	x.Add("81", "30080")
	if pinnedProgram(t, x) == before {
		t.Error("nothing was upgraded")
	}
	mustHaveFew("after an upgrade")

	lan.Host.Run("ip", "tuntap", "add", "dev", "tun0", "mode", "tun")
	x.Add("82", "30080")
	if !slices.Contains(pinnedPrograms(t, x), "xfwd_ingress_raw") {
		t.Error("the device without a link layer has no program of its own")
	}

	s := x.Serve()
	mustReconcile(t, s, 0)
	ofAnotherBuild(t, x)
	l.Veth(lan.Client, "late", lan.Host, "port0", 1500)
	lan.Host.Bridge("br0", "port0")
	lab.Eventually(t, 10*lab.Patience, func() error {
		if said := s.Stderr.String(); !strings.Contains(said, "another version of xfwd") {
			return fmt.Errorf("serve says nothing of the program that it cannot load:\n%s", said)
		}
		return nil
	})
	if slices.Contains(pinnedPrograms(t, x), "xfwd_port") {
		t.Error("serve has loaded a program beside those of another build")
	}
	x.Add("83", "30080")
	mustServePort := func(bridge, device string, subnet byte) {
		t.Helper()
		host := netip.AddrFrom4([4]byte{198, 18, subnet, 1})
		lan.Host.Address(bridge, netip.PrefixFrom(host, 24))
		lan.Client.Address(device, netip.PrefixFrom(host.Next(), 24))
		lab.Eventually(t, 10*lab.Patience, func() error {
			conn, err := lan.Client.Connect("tcp", at(host, 80), anyPort)
			if err == nil {
				conn.Close()
			}
			return err
		})
		mustSee(t, lan.Client.MustConnect("tcp", at(host, 80)))
	}
	mustServePort("br0", "late", lateSubnet)

	// Now that they are its own again, serve loads them itself.
	lan.Host.DeleteLink("br0")
	lan.Host.DeleteLink("port0")
	lan.Host.DeleteLink("tun0")
	x.Do("unload")
	x.Add("80", "30080")
	mustHaveFew("loaded anew")
	l.Veth(lan.Client, "later", lan.Host, "port1", 1500)
	lan.Host.Bridge("br1", "port1")
	lab.Eventually(t, 10*lab.Patience, func() error {
		if have := pinnedPrograms(t, x); !slices.Contains(have, "xfwd_port") || !slices.Contains(have, "xfwd_bridge_egress") {
			return fmt.Errorf("loaded are %v", have)
		}
		return nil
	})
	mustServePort("br1", "later", lateSubnet+1)
}

// pinnedPrograms are the names of the programs that are loaded.
func pinnedPrograms(t *testing.T, x *lab.XFWD) []string {
	t.Helper()
	pins, err := os.ReadDir(filepath.Join(x.Status().Pins, "programs"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, pin := range pins {
		names = append(names, pin.Name())
	}
	return names
}
