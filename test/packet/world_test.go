// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/maps"
	"github.com/xfwd/xfwd/test/lab"
)

// world is the host, in a namespace of its own, with a dataplane that nothing
// but the test's packets passes.
type world struct {
	lab     *lab.Lab
	host    *lab.Namespace
	far     *lab.Namespace // at the other end of the host's devices
	devices map[string]device
	router  bool // the host forwards packets of others
	lost    bool // the host has no default routes
	// filters are those of the sources of packets, as the programs are told, by device.
	filters map[string]maps.SourceFilter

	certain  bool // the programs are told that every address has a route, whether it is so or not
	instance *ctl.Instance
	pins     string
	programs programs
	null     *ebpf.Program // does nothing
	maps     bpf.XfwdMaps  // those that tests look at
	set      *maps.Set     // the same
	checksum uint32        // how test runs check checksums: see runFlags
	xdp      bool          // whether there are test runs of XDP: see runsXDP
}

// device is a device of the host.
type device struct {
	index int
	mac   net.HardwareAddr
}

// maxFlows is the size of the flow table. Floods in tests are larger.
const maxFlows = 64

// newWorld makes the host, which forwards packets of others, and loads the
// dataplane.
func newWorld(tb lab.TB) *world {
	tb.Helper()
	return newWorldFor(tb, maxFlows)
}

// newWorldFor is newWorld with another size of the flow table.
func newWorldFor(tb lab.TB, flows uint32) *world {
	tb.Helper()
	l := lab.New(tb)
	w := &world{lab: l, host: l.Namespace("host"), far: l.Namespace("far"), devices: make(map[string]device), null: null(tb)}
	for _, d := range []struct {
		name string
		machine
		mtu int
	}{{"eth0", host, 1500}, {"eth1", second, 1500}, {"pod0", gateway, podMTU}} {
		l.Veth(w.host, d.name, w.far, d.name, d.mtu)
		w.host.Address(d.name, netip.PrefixFrom(d.V4, 24))
		w.host.Address(d.name, netip.PrefixFrom(d.V6, 64))
		w.devices[d.name] = device{w.host.Index(d.name), w.host.MAC(d.name)}
	}
	w.host.DefaultRoutes(router.Addresses)
	w.meet(tb)
	w.route(true)
	w.open(tb, flows)
	return w
}

// route makes the host a router, or not.
func (w *world) route(on bool) {
	value := map[bool]string{false: "0", true: "1"}[on]
	w.host.Sysctl("net.ipv4.ip_forward", value)
	w.host.Sysctl("net.ipv6.conf.all.forwarding", value)
	w.router = on
}

// open loads the dataplane, with one forward that no test uses, and opens what
// is pinned.
func (w *world) open(tb lab.TB, flows uint32) {
	tb.Helper()
	root := filepath.Join("/sys/fs/bpf", w.host.Name)
	var err error
	w.instance, err = ctl.Open(ctl.Options{Root: root, NetNS: w.host.Name, MaxFlows: flows})
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() {
		if err := w.instance.Unload(context.Background()); err != nil {
			tb.Errorf("%v", err)
		}
		if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
			tb.Errorf("after unload the pin directory %s is still there (%v)", root, err)
		}
	})
	w.change(tb, ctl.Add(forwards(tb, 4, "1 2"), false), ctl.ExistingKeep)
	status, err := w.instance.Status(context.Background())
	if err != nil {
		tb.Fatalf("%v", err)
	}
	w.pins = status.Pins
	w.isolate(tb)
	w.openMaps(tb)
	w.embody(tb)
	w.usePrograms(tb, patient(tb))
	w.checksum, w.xdp = runFlags(tb), runsXDP(tb)
}

// patient are the programs as the loader sets them up, but for times that no busy machine lets pass by itself.
func patient(tb lab.TB) *ebpf.CollectionSpec {
	tb.Helper()
	spec := loadSpec(tb)
	coarse := features.HaveProgramHelper(ebpf.SchedCLS, asm.FnKtimeGetCoarseNs) == nil
	if err := spec.Variables["coarse_clock"].Set(coarse); err != nil {
		tb.Fatalf("%v", err)
	}
	tellsMTU := features.HaveProgramHelper(ebpf.SchedCLS, asm.FnCheckMtu) == nil
	if err := spec.Variables["device_mtu_helper"].Set(tellsMTU); err != nil {
		tb.Fatalf("%v", err)
	}
	setTimeouts(tb, spec, map[string]time.Duration{"next_hop_timeout": freshness, "neighbour_patience": patience})
	return spec
}

// setTimeouts gives programs other timeouts, by the names that config.h has for them.
func setTimeouts(tb lab.TB, spec *ebpf.CollectionSpec, timeouts map[string]time.Duration) {
	tb.Helper()
	for name, timeout := range timeouts {
		if err := spec.Variables[name].Set(uint64(timeout)); err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
	}
}

// openMaps opens what tests look at.
func (w *world) openMaps(tb lab.TB) {
	tb.Helper()
	for name, m := range map[string]**ebpf.Map{
		"flows_established":   &w.maps.FlowsEstablished,
		"flows_transitory":    &w.maps.FlowsTransitory,
		"fragments":           &w.maps.Fragments,
		"affinities":          &w.maps.Affinities,
		"new_affinities":      &w.maps.NewAffinities,
		"settings":            &w.maps.Settings,
		"devices":             &w.maps.Devices,
		"xdp_devices":         &w.maps.XdpDevices,
		"forwards":            &w.maps.Forwards,
		"forward_infos":       &w.maps.ForwardInfos,
		"backends":            &w.maps.Backends,
		"backend_infos":       &w.maps.BackendInfos,
		"backend_tables":      &w.maps.BackendTables,
		"backend_connections": &w.maps.BackendConnections,
		"turns":               &w.maps.Turns,
		"counters":            &w.maps.Counters,
		"backend_counters":    &w.maps.BackendCounters,
		"setup_times":         &w.maps.SetupTimes,
		"table_changes":       &w.maps.TableChanges,
		"table_accounts":      &w.maps.TableAccounts,
		"reasons":             &w.maps.Reasons,
		"forward_drops":       &w.maps.ForwardDrops,
		"answers":             &w.maps.Answers,
		"answered_clients":    &w.maps.AnsweredClients,
	} {
		var err error
		if *m, err = ebpf.LoadPinnedMap(filepath.Join(w.pins, "maps", name), nil); err != nil {
			tb.Fatalf("%v", err)
		}
	}
	w.set = maps.NewSet(w.maps)
	tb.Cleanup(func() { w.set.Close() })
}

// forwards are the words of `xfwd add` with machines in place of addresses, such
// as "vip:80/udp 30080 pod:80,weight=2 --device eth0 --balance random".
func forwards(tb lab.TB, f family, lines ...string) []ctl.Forward {
	tb.Helper()
	var all []ctl.Forward
	for _, line := range lines {
		words := strings.Fields(line)
		spec := ctl.Spec{Frontend: spell(words[0], f)}
		for i := 1; i < len(words); i++ {
			flag, isFlag := strings.CutPrefix(words[i], "--")
			if !isFlag {
				spec.Backends = append(spec.Backends, spell(words[i], f))
				continue
			}
			i++
			switch flag {
			case "device":
				spec.Devices = append(spec.Devices, words[i])
			case "source":
				spec.Source = words[i]
			case "source-address":
				for name := range strings.SplitSeq(words[i], ",") {
					spec.SourceAddresses = append(spec.SourceAddresses, cast[name].address(f).String())
				}
			case "balance":
				spec.Balance = words[i]
			case "affinity":
				spec.Affinity = words[i]
			case "mss":
				spec.MSS = words[i]
			case "affinity-group":
				spec.AffinityGroup = words[i]
			default:
				tb.Fatalf("no flag --%s in %q", flag, line)
			}
		}
		some, err := spec.Forwards(time.Now())
		if err != nil {
			tb.Fatalf("%v", err)
		}
		all = append(all, some...)
	}
	return all
}

// change changes the forwards as the command does.
func (w *world) change(tb lab.TB, change ctl.Change, existing ctl.Existing) {
	tb.Helper()
	if _, err := w.instance.Update(context.Background(), change, ctl.UpdateOptions{Existing: existing}); err != nil {
		tb.Fatalf("%v", err)
	}
	if w.pins != "" {
		w.isolate(tb)
		w.embody(tb)
	}
}

// start forgets all flows, and has these forwards only.
func (w *world) start(t testing.TB, f family, lines []string) {
	t.Helper()
	w.forget(t)
	for id := range uint32(lastBackend + 1) {
		if err := w.maps.BackendConnections.Put(id, int64(0)); err != nil {
			t.Fatal(err)
		}
	}
	w.change(t, ctl.ApplyFile(forwards(t, f, lines...), true), ctl.ExistingKeep)
}

// forget forgets what packets have left.
func (w *world) forget(t testing.TB) {
	t.Helper()
	for _, m := range []*ebpf.Map{w.maps.FlowsEstablished, w.maps.FlowsTransitory, w.maps.Fragments, w.maps.Affinities, w.maps.NewAffinities} {
		empty(t, m)
	}
	if err := w.allowAnswers(); err != nil {
		t.Fatal(err)
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		t.Fatal(err)
	}
	for table := range uint32(len(maps.Entries{})) {
		changes, account := make([]bpf.XfwdTableChanges, cpus), bpf.XfwdTableAccount{}
		if err := errors.Join(w.maps.TableChanges.Put(table, changes), w.maps.TableAccounts.Put(table, account)); err != nil {
			t.Fatal(err)
		}
	}
}

func empty(t testing.TB, m *ebpf.Map) {
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
