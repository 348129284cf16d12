// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/test/lab"
)

// Counters outlive an upgrade, which replaces the programs under a connection that
// talks, and serve, which knows nothing of it, goes on to show them; nor does it take
// the upgrade back when it looks at the host.
func TestMetricsOutliveAnUpgrade(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	lan := l.Direct()
	lan.Host.Echo("tcp", ":30080")
	x := lan.Host.XFWD()
	x.Add("80", "30080")
	s := x.Serve()
	mustReconcile(t, s, 0)
	talk := newRounds(t, lan, at(lan.HostAddr.V4, 80), 10)
	talk.mustGoOn(t)
	before, program := s.Metrics(), pinnedProgram(t, x)
	ofAnotherBuild(t, x)
	x.Add("80", "30080")
	if pinnedProgram(t, x) == program {
		t.Fatal("nothing was upgraded")
	}
	upgraded, looks := pinnedProgram(t, x), reconciled(s)
	l.Veth(lan.Host, "late", lan.Client, "late", 1500)
	mustReconcile(t, s, looks)
	if pinnedProgram(t, x) != upgraded {
		t.Error("serve has taken the upgrade back")
	}
	talk.mustGoOn(t)
	after := s.Metrics()
	for name, least := range map[string]float64{
		`xfwd_forward_packets_total{direction="in",forward="80/tcp",frontend="80/tcp",protocol="tcp"}`:  10,
		`xfwd_forward_packets_total{direction="out",forward="80/tcp",frontend="80/tcp",protocol="tcp"}`: 10,
		`xfwd_forward_connections_total{forward="80/tcp",frontend="80/tcp",protocol="tcp"}`:             0,
	} {
		if before[name] < 10 || after[name] < before[name]+least {
			t.Errorf("%s was %v and is %v", name, before[name], after[name])
		}
	}
}

// ofAnotherBuild makes the next command take the programs for another version's.
func ofAnotherBuild(t *testing.T, x *lab.XFWD) {
	t.Helper()
	changeSettings(t, x, func(s *bpf.XfwdSettings) { s.Build++ })
}

// changeSettings changes what the dataplane was told.
func changeSettings(t *testing.T, x *lab.XFWD, change func(*bpf.XfwdSettings)) {
	t.Helper()
	m, err := ebpf.LoadPinnedMap(x.PinOf("maps/settings"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var settings bpf.XfwdSettings
	if err := m.Lookup(uint32(0), &settings); err != nil {
		t.Fatal(err)
	}
	change(&settings)
	if err := m.Put(uint32(0), settings); err != nil {
		t.Fatal(err)
	}
}

// pinnedProgram is the kernel's number of the program for what comes in.
func pinnedProgram(t *testing.T, x *lab.XFWD) ebpf.ProgramID {
	t.Helper()
	program, err := ebpf.LoadPinnedProgram(x.PinOf("programs/xfwd_ingress"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	return programID(t, program)
}
