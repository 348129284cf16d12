// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/test/lab"
)

// The programs ask no clock but those that nobody can set. So what happens to the time
// of day is nothing to flows, affinities and next hops.
func TestFaultClockOfPrograms(t *testing.T) {
	t.Parallel()
	spec, err := bpf.LoadXfwd()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for name, program := range spec.Programs {
		for _, instruction := range program.Instructions {
			if !instruction.IsBuiltinCall() {
				continue
			}
			switch call := asm.BuiltinFunc(instruction.Constant); call {
			case asm.FnKtimeGetNs, asm.FnKtimeGetCoarseNs:
				asked++
			case asm.FnKtimeGetBootNs, asm.FnKtimeGetTaiNs, asm.FnJiffies64:
				t.Errorf("%s asks %v", name, call)
			}
		}
	}
	if asked == 0 {
		t.Error("no program asks for the time: the test does not test what it says")
	}
}

// Where the time of day jumps by a day and back, no flow ends, a client stays with its
// backend, no flow is older for it, and no forward ends for it. Only a machine that is nobody's may have its
// clock set.
func TestFaultClockJumps(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	f.publish(t, "80/tcp+udp", f.all(), "--balance", "random", "--affinity", "1h")
	f.publish(t, "81", f.all(), "--expires", "1h")
	load := keepTalking(f.Network, 80)
	load.mustGoOn(t, soon)
	had := f.ask(t, "tcp", at(f.HostAddr.V4, 80), anyPort)
	idle := f.Client.MustConnect("tcp", at(f.HostAddr.V4, 80))
	mustEcho(t, idle)
	check := func(when string) {
		t.Helper()
		load.mustGoOn(t, soon)
		for range 8 {
			if has := f.ask(t, "tcp", at(f.HostAddr.V4, 80), anyPort); has != had {
				t.Errorf("%s: the client came to backend %d, and had %d", when, has, had)
			}
		}
		mustBeYoung(t, f.xfwd.Do("flows", "-o", "json").Stdout, when)
		mustEcho(t, idle)
		mustEcho(t, f.Client.MustConnect("tcp", at(f.HostAddr.V4, 81)))
		if got := frontends(f.xfwd); !slices.Contains(got, "81/tcp") {
			t.Errorf("%s: there are %v, what ends in an hour is not among them", when, got)
		}
		mustBeFine(t, f.xfwd)
	}
	check("before")
	if os.Getenv("XFWD_VM") == "" {
		return
	}
	const day = 24 * time.Hour
	for _, jump := range []time.Duration{day, -2 * day, day} {
		now := unix.NsecToTimeval(time.Now().Add(jump).UnixNano())
		if err := unix.Settimeofday(&now); err != nil {
			t.Fatal(err)
		}
		check("after a jump by " + jump.String())
	}
}

// In a time namespace, whose own clock is ahead by days, commands read the ages of flows
// as everywhere: none has timed out, no connection of a deleted backend is forgotten while
// it lives, and a forward ends when it shall.
func TestFaultClockOfNamespace(t *testing.T) {
	t.Parallel()
	lab.Need(t, "unshare")
	if _, err := os.Stat("/proc/self/ns/time"); err != nil {
		t.Skip("this kernel has no time namespaces")
	}
	f := newFleet(t, 2)
	f.publish(t, "80/tcp+udp", f.all())
	load, _ := f.talkToAll(t, 80)
	ahead := func(offset string, args ...string) string {
		t.Helper()
		command := f.xfwd.Command(args...)
		command.Args = append([]string{"unshare", "--time", "--monotonic", offset, "--fork", "--kill-child"}, command.Args...)
		var err error
		if command.Path, err = exec.LookPath("unshare"); err != nil {
			t.Fatal(err)
		}
		result := f.xfwd.RunCommand(command)
		if result.Status != 0 {
			t.Fatalf("%s: exit status %d: %s", command, result.Status, result.Stderr)
		}
		return result.Stdout
	}
	// Behind it cannot be by more than the machine is up.
	for _, offset := range []string{"604800", "-1"} {
		mustBeYoung(t, ahead(offset, "flows", "-o", "json"), "by a clock that is wrong by "+offset+" s")
	}
	ahead("604800", append([]string{"backend", "del", "80/tcp+udp"}, f.backends("", 0)...)...)
	for _, c := range load.conns {
		if c.RemoteAddr().Network() == "tcp" {
			mustGoOn(t, []*talk{c}, soon)
		}
	}
	f.mustServeOnly(t, 80, 1)
	// If that clock were believed, one would end a week late, and the other have ended for
	// whoever has it.
	ahead("604800", append([]string{"add", "81", "--expires", "1s"}, f.all()...)...)
	ahead("604800", append([]string{"add", "82", "--expires", "1h"}, f.all()...)...)
	lab.Eventually(t, lab.Patience, func() error {
		if got := frontends(f.xfwd); slices.Contains(got, "81/tcp") || !slices.Contains(got, "82/tcp") {
			return fmt.Errorf("there are %v", got)
		}
		return nil
	})
	// The clock of the programs moves on by the kernel's ticks, and may be behind that of the command by one.
	time.Sleep(tick)
	mustRefuse(t, f.Client, "tcp", at(f.HostAddr.V4, 81))
	mustEcho(t, f.Client.MustConnect("tcp", at(f.HostAddr.V4, 82)))
	if got := ahead("604800", "list"); !strings.Contains(got, "82/tcp") {
		t.Errorf("by a clock that is wrong, there are\n%s", got)
	}
}

// mustBeYoung fails the test unless `xfwd flows -o json` shows flows, all of which have
// been used within a minute.
func mustBeYoung(t *testing.T, flows, when string) {
	t.Helper()
	var all []struct{ IdleSeconds int }
	if err := json.NewDecoder(strings.NewReader(flows)).Decode(&all); err != nil {
		t.Fatalf("%s: %v in %s", when, err, flows)
	}
	if len(all) < 4 {
		t.Errorf("%s: %d flows are shown", when, len(all))
	}
	for _, flow := range all {
		if flow.IdleSeconds < 0 || flow.IdleSeconds > 60 {
			t.Errorf("%s: a flow is idle for %d s", when, flow.IdleSeconds)
		}
	}
}
