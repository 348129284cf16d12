// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/maps"
	"github.com/xfwd/xfwd/test/lab"
)

// world is the host, in a namespace of its own, with a dataplane that nothing
// but the test's packets passes.
type world struct {
	host     *lab.Namespace
	instance *ctl.Instance
	pins     string
	programs programs
	null     *ebpf.Program // does nothing
	maps     bpf.XfwdMaps  // those that tests look at
	set      *maps.Set     // the same
	checksum uint32        // how test runs check checksums: see runFlags
}

// maxFlows is the size of the flow table. Floods in tests are larger.
const maxFlows = 256

// newWorld makes the host, which forwards packets of others, and loads the
// dataplane.
func newWorld(t *testing.T) *world {
	t.Helper()
	l := lab.New(t)
	w := &world{host: l.Namespace("host"), null: null(t)}
	far := l.Namespace("far")
	for device, m := range map[string]machine{"eth0": host, "eth1": second} {
		l.Veth(w.host, device, far, device, 1500)
		w.host.Address(device, netip.PrefixFrom(m.V4, 24))
		w.host.Address(device, netip.PrefixFrom(m.V6, 64))
	}
	w.host.DefaultRoutes(router.Addresses)
	w.forwarding(true)
	w.open(t)
	return w
}

// forwarding says whether the host is a router.
func (w *world) forwarding(on bool) {
	value := map[bool]string{false: "0", true: "1"}[on]
	w.host.Sysctl("net.ipv4.ip_forward", value)
	w.host.Sysctl("net.ipv6.conf.all.forwarding", value)
}

// open loads the dataplane, with one forward that no test uses, and opens what
// is pinned.
func (w *world) open(t *testing.T) {
	t.Helper()
	root := filepath.Join("/sys/fs/bpf", w.host.Name)
	var err error
	w.instance, err = ctl.Open(ctl.Options{Root: root, NetNS: w.host.Name, MaxFlows: maxFlows})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.instance.Unload(context.Background()); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after unload the pin directory %s is still there (%v)", root, err)
		}
	})
	w.change(t, ctl.Add(forwards(t, 4, "1 2"), false), ctl.ExistingKeep)
	status, err := w.instance.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.pins = status.Pins
	w.isolate(t)
	w.openMaps(t)
	w.programs = pinnedPrograms(t, w.pins)
	w.checksum = runFlags(t)
}

// openMaps opens what tests look at.
func (w *world) openMaps(t *testing.T) {
	t.Helper()
	for name, m := range map[string]**ebpf.Map{
		"flows_established": &w.maps.FlowsEstablished,
		"flows_transitory":  &w.maps.FlowsTransitory,
		"fragments":         &w.maps.Fragments,
		"counters":          &w.maps.Counters,
		"reasons":           &w.maps.Reasons,
		"forward_drops":     &w.maps.ForwardDrops,
	} {
		var err error
		if *m, err = ebpf.LoadPinnedMap(filepath.Join(w.pins, "maps", name), nil); err != nil {
			t.Fatal(err)
		}
	}
	w.set = maps.NewSet(w.maps)
	t.Cleanup(func() { w.set.Close() })
}

// forwards are the words of `xfwd add` with machines in place of addresses, such
// as "vip:80/udp 30080 --device eth0".
func forwards(t testing.TB, f family, lines ...string) []ctl.Forward {
	t.Helper()
	var all []ctl.Forward
	for _, line := range lines {
		words, device, bound := strings.Cut(line, " --device ")
		frontend, backend, _ := strings.Cut(words, " ")
		spec := ctl.Spec{Frontend: spell(frontend, f), Backends: []string{spell(backend, f)}}
		if bound {
			spec.Devices = []string{device}
		}
		some, err := spec.Forwards(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, some...)
	}
	return all
}

// change changes the forwards as the command does.
func (w *world) change(t testing.TB, change ctl.Change, existing ctl.Existing) {
	t.Helper()
	if _, err := w.instance.Update(t.Context(), change, ctl.UpdateOptions{Existing: existing}); err != nil {
		t.Fatal(err)
	}
	if w.pins != "" {
		w.isolate(t)
	}
}

// isolate keeps all packets but the test's from the programs: those that the
// kernel sends by itself, to find neighbours for one, would be counted too. The
// next change attaches the programs again.
func (w *world) isolate(t testing.TB) {
	t.Helper()
	pins, err := filepath.Glob(filepath.Join(w.pins, "links", "*gress"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pin := range pins {
		if err := replaceProgram(pin, w.null); err != nil {
			t.Fatal(err)
		}
	}
	for _, device := range []string{"eth0", "eth1"} {
		qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: w.host.Index(device), Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		}}
		// There is none where the kernel has tcx.
		_ = w.host.Links().QdiscDel(qdisc)
	}
}

// replaceProgram has a pinned link run another program.
func replaceProgram(pin string, p *ebpf.Program) error {
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Update(p)
}

// start forgets all flows, and has these forwards only.
func (w *world) start(t *testing.T, f family, lines []string) {
	t.Helper()
	for _, m := range []*ebpf.Map{w.maps.FlowsEstablished, w.maps.FlowsTransitory, w.maps.Fragments} {
		empty(t, m)
	}
	w.change(t, ctl.ApplyFile(forwards(t, f, lines...), true), ctl.ExistingKeep)
}

func empty(t *testing.T, m *ebpf.Map) {
	t.Helper()
	key := make([]byte, m.KeySize())
	for {
		err := m.NextKey(nil, key)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return
		}
		if err == nil {
			err = m.Delete(key)
		}
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			t.Fatal(err)
		}
	}
}
