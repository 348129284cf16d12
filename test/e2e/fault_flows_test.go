// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/test/lab"
)

// When more connections live than the flow table has room for, status says so before
// any is forgotten and how to make room. Those that are forgotten are
// known again when they talk, with whom they had, and new ones are served.
func TestFaultFlowTableFull(t *testing.T) {
	t.Parallel()
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		t.Fatal(err)
	}
	// Beside the flows asked for there is room for what the LRU hands to each processor.
	many := 300 + 3*128*cpus
	moreFiles(t, 5_000+uint64(2*many))
	f := newFleet(t, 2)
	f.xfwd.MaxFlows = "64"
	f.publish(t, "80/tcp+udp", f.all())
	load := keepTalking(f.Network, 80)
	load.mustGoOn(t, soon)
	mustBeFine(t, f.xfwd)
	var conns []*lab.Conn
	open := func(count int) {
		t.Helper()
		for range count {
			for _, host := range f.HostAddr.All() {
				conn := f.Client.MustConnect("tcp", at(host, 80))
				mustEcho(t, conn)
				conns = append(conns, conn)
			}
		}
	}
	open(15)
	mustBeFine(t, f.xfwd)
	open(15)
	mustWarn(t, f.xfwd, "the flow table is nearly full", "of 64 are established", "`xfwd restore --max-flows 256`")
	// None has been forgotten yet.
	for _, conn := range conns {
		mustEcho(t, conn)
	}

	open(many / 2)
	mustWarn(t, f.xfwd, "the flow table is nearly full")
	load.mustGoOn(t, soon)
	f.mustServeOnly(t, 80, 0, 1)
	forgotten, reset := len(conns)+len(load.conns)-len(f.xfwd.Flows()), 0
	mustCountEvicted(t, f.xfwd, forgotten, 2*len(conns))
	for _, conn := range conns {
		// A stream cannot come from two servers unless one makes a mistake in it.
		if err := conn.Echo(fmt.Appendf(nil, "%v is still there", conn.Local())); isReset(err) {
			reset++
		} else if err != nil {
			t.Errorf("%v: %v", conn.Local(), err)
		}
	}
	t.Logf("of %d connections %d were forgotten, and %d ended by that", len(conns), forgotten, reset)
	if forgotten < many/3 {
		t.Error("hardly a connection was forgotten: the test does not test what it says")
	}
	load.mustGoOn(t, soon)
	load.mustNotBeWrong(t)

	// What status says to do.
	file := filepath.Join(t.TempDir(), "forwards.yaml")
	f.xfwd.Do("save", file)
	f.xfwd.Do("unload")
	f.xfwd.Do("restore", file, "--max-flows", "4096")
	mustBeFine(t, f.xfwd)
	keepTalking(f.Network, 80).mustGoOn(t, soon)
	f.mustServeOnly(t, 80, 0, 1)
}

// mustCountEvicted fails the test unless serve finds out how many entries of established
// flows are gone: of each that is forgotten one at least.
func mustCountEvicted(t *testing.T, x *lab.XFWD, least, most int) {
	t.Helper()
	s := x.Serve()
	var evicted float64
	lab.Eventually(t, lab.Patience, func() error {
		evicted = s.Metrics()[`xfwd_flow_entries_evicted_total{state="established"}`]
		if evicted < float64(least) || evicted > float64(most) {
			return fmt.Errorf("%v entries are counted as evicted, want %d to %d", evicted, least, most)
		}
		return nil
	})
	s.Kill()
	if status := x.Do("status").Stdout; !strings.Contains(status, "established entries, for want of room") {
		t.Errorf("status does not say that entries were evicted:\n%s", status)
	}
	t.Logf("%v entries were evicted", evicted)
}
