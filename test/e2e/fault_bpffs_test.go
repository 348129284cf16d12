// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// another is what commands say that find programs of a dataplane without its pins at
// certain places.
func another(places string) []string {
	return []string{"another dataplane of xfwd serves " + places + ", and has no pins: ", "`umount /sys/fs/bpf`", "`xfwd unload`"}
}

// mustRefuse fails the test unless a command that would load a second dataplane says
// in one line why it does not, and what to do.
func (m *mountSpace) mustRefuse(line, places string) {
	m.t.Helper()
	output, status := m.run(line)
	if status != 1 || strings.Count(output, "\n") != 1 || !hasAll(output, append([]string{"xfwd: "}, another(places)...)) {
		m.t.Errorf("%s: exit status %d: %s", line, status, output)
	}
}

// warned says whether status there warns of a dataplane without pins.
func (m *mountSpace) warned(places string) bool {
	m.t.Helper()
	return hasAll(m.do("xfwd status"), append([]string{"not loaded", "warning: "}, another(places)...))
}

// mustBeRefused fails the test unless the kernel refuses a new connection. UDP asks again: Linux limits ICMP errors to a
// thousand a second, and the load that goes on uses most of them.
func mustBeRefused(t *testing.T, client *lab.Namespace, network string, to netip.AddrPort) {
	t.Helper()
	lab.Eventually(t, 3*lab.Patience, func() error {
		_, err := client.Connect(network, to, anyPort)
		if network == "udp" && errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s to %v: %v, want that it is refused", network, to, err)
		}
		return nil
	})
}

// A BPF file system that is mounted over the pins hides them; the programs translate as
// ever. Status says so, and no command makes a second dataplane beside the first one,
// which is there again when the mount is gone.
func TestFaultBPFFSMountedOver(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	m := newMountSpace(t, net.Host, net.Host.XFWD())
	m.do("xfwd add --max-flows 4096 80/tcp+udp 30080")
	load := keepTalking(net, 80)
	load.mustGoOn(t, soon)

	const everything = "eth0, own connections"
	m.mountBPFFS()
	if !m.warned(everything) {
		t.Errorf("status does not say that the pins are hidden:\n%s", m.do("xfwd status"))
	}
	m.mustRefuse("xfwd add --max-flows 4096 81/tcp+udp 30080", everything)
	load.mustGoOn(t, soon)
	m.do("umount /sys/fs/bpf")
	if status := m.do("xfwd status"); strings.Contains(status, "warning") {
		t.Errorf("status warns:\n%s", status)
	}
	m.do("xfwd add 81/tcp+udp 30080")
	load.mustGoOn(t, soon)
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 81)))

	// Taken out without its pins.
	m.mountBPFFS()
	m.do("xfwd unload")
	if m.warned(everything) {
		t.Errorf("status warns after unload:\n%s", m.do("xfwd status"))
	}
	for _, client := range []*lab.Namespace{net.Client, net.Host} {
		for _, network := range networks {
			for _, host := range net.HostAddr.All() {
				mustBeRefused(t, client, network, at(host, 80))
			}
		}
	}
	m.do("xfwd add --max-flows 4096 80/tcp+udp 30080")
	again := keepTalking(net, 80)
	again.mustGoOn(t, soon)
	mustEcho(t, net.Host.MustConnect("tcp", at(net.HostAddr.V4, 80)))
	load.mustNotBeWrong(t)
	m.do("xfwd unload")
}

// When the BPF file system is unmounted, links end with their pins, and so does all
// forwarding; but filters, which older kernels have for want of links, stay and
// translate. Status says which it is; what was may be loaded again, in the second case
// after unload.
func TestFaultBPFFSUnmounted(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	m := newMountSpace(t, net.Host, net.Host.XFWD())
	m.do("xfwd add --max-flows 4096 80/tcp+udp 30080")
	load := keepTalking(net, 80)
	load.mustGoOn(t, soon)

	m.do("umount /sys/fs/bpf")
	if lab.HaveTCX() {
		lab.Eventually(t, noticed, func() error {
			if m.warned("eth0") {
				return errors.New("programs still run")
			}
			return nil
		})
		mustBeSilent(t, load.conns)
		for _, client := range []*lab.Namespace{net.Client, net.Host} {
			if _, err := client.Connect("tcp", at(net.HostAddr.V4, 80), anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("port 80: %v, want that it is refused", err)
			}
		}
	} else {
		if !m.warned("eth0") {
			t.Errorf("status does not say that the filters translate:\n%s", m.do("xfwd status"))
		}
		m.mustRefuse("xfwd add --max-flows 4096 80/tcp+udp 30080", "eth0")
		load.mustGoOn(t, soon)
		m.do("xfwd unload")
	}
	if status := m.do("xfwd status"); !strings.Contains(status, "not loaded; the first `xfwd add` or `xfwd restore` loads it") || strings.Contains(status, "warning") {
		t.Errorf("status with nothing in the kernel:\n%s", status)
	}
	m.do("xfwd add --max-flows 4096 80/tcp+udp 30080")
	if status := m.do("xfwd status"); strings.Contains(status, "warning") {
		t.Errorf("status warns:\n%s", status)
	}
	again := keepTalking(net, 80)
	again.mustGoOn(t, soon)
	// UDP of before goes on; TCP of before may have been reset.
	for _, c := range load.conns {
		if c.RemoteAddr().Network() == "udp" {
			mustGoOn(t, []*talk{c}, soon)
		}
	}
	load.mustNotBeWrong(t)
	m.do("xfwd unload")
}

// Pins of maps that somebody has removed: what is missing is named, with what to do. A
// program is loaded again by the next command that attaches it.
func TestFaultPinsRemoved(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()
	x.Add("80", "30080")
	removePin(t, x, "maps/settings")
	for _, args := range [][]string{{"status"}, {"list"}, {"add", "81", "30080"}} {
		mustFail(t, x.Run(args...), 1, "xfwd: ", "the pin maps/settings", "`xfwd unload`")
	}
	x.Do("unload")
	x.Add("80", "30080")
	for range 2 {
		mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80)))
		mustBeFine(t, x)
		removePin(t, x, "programs/xfwd_ingress")
		mustBeFine(t, x)
		x.Add("81", "30080")
		pinnedProgram(t, x)
	}
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 81)))
}

// removePin removes a pin of an instance.
func removePin(t *testing.T, x *lab.XFWD, name string) {
	t.Helper()
	pins, err := filepath.Glob(filepath.Join(x.Root, "net-*", name))
	if err != nil || len(pins) != 1 {
		t.Fatalf("%s is pinned as %q: %v", name, pins, err)
	}
	if err := os.Remove(pins[0]); err != nil {
		t.Fatal(err)
	}
}
