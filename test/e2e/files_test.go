// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/xfwd/xfwd/test/lab"
)

var withoutCounters = cmpopts.IgnoreFields(lab.Forward{}, "Counters")

// save and restore bring every forward back as it was.
func TestSaveAndRestore(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()
	x.Add("80", "30080", "--name", "web", "--comment", `the "web": # not a comment`, "--check", `http,path=/"health",interval=500ms`)
	x.Add("53/tcp+udp", "30053", "--name", "dns", "--check", "udp")
	x.Add(frontend(net.VIP.V6, "1-65535/udp"), "30080")
	x.Add(frontend(net.HostAddr.V4, "9000-9005"), "198.18.1.1:31000-31005", "--device", "eth0")
	x.Add("127.0.0.1:8080", "30080")
	saved := x.List()
	file := filepath.Join(t.TempDir(), "forwards.yaml")
	x.Do("save", file)
	x.Do("unload")
	x.Do("restore", file)
	if difference := cmp.Diff(saved, x.List(), withoutCounters); difference != "" {
		t.Errorf("saved (-), restored (+):\n%s", difference)
	}
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80)))

	again := filepath.Join(t.TempDir(), "again.yaml")
	x.Do("save", again)
	if difference := cmp.Diff(read(t, file), read(t, again)); difference != "" {
		t.Errorf("what is saved after a restore differs:\n%s", difference)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// apply is a difference, not a rebuild: forwards that stay keep their flows and
// counters.
func TestApplyIsADifference(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	x.Add("81", "30080")
	x.Add("82", "30080")
	var conns []*lab.Conn
	for _, network := range networks {
		for _, host := range net.HostAddr.All() {
			conn := net.Client.MustConnect(network, at(host, 80))
			mustEcho(t, conn)
			conns = append(conns, conn)
		}
	}
	file := filepath.Join(t.TempDir(), "forwards.yaml")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("apiVersion: xfwd/v1\nforwards:\n"+content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`
  - frontend: 80/tcp+udp
    backends: [30080]
  - {frontend: 81, backends: [30081]}
  - {frontend: 83, backends: [30080]}
`)
	before := settled(t, x)
	dry := x.Do("apply", "-f", file, "--prune", "--dry-run")
	if difference := cmp.Diff(before, x.List()); difference != "" || dry.Stdout == "" {
		t.Errorf("a dry run said %q and changed:\n%s", dry.Stdout, difference)
	}

	x.Do("apply", "-f", file)
	want := map[string]uint16{"80/tcp": 30080, "80/udp": 30080, "81/tcp": 30081, "82/tcp": 30080, "83/tcp": 30080}
	if difference := cmp.Diff(want, targets(x.List())); difference != "" {
		t.Errorf("after apply, want (-), got (+):\n%s", difference)
	}
	x.Do("apply", "-f", file, "--prune")
	delete(want, "82/tcp")
	after := x.List()
	if difference := cmp.Diff(want, targets(after)); difference != "" {
		t.Errorf("after --prune, want (-), got (+):\n%s", difference)
	}
	// The first two are 80/tcp and 80/udp.
	if difference := cmp.Diff(before[:2], after[:2]); difference != "" {
		t.Errorf("forwards that stay, before (-) and after (+):\n%s", difference)
	}
	for _, conn := range conns {
		mustEcho(t, conn)
		mustSee(t, conn)
	}
	if opened := x.Counters("80/udp").Connections.Opened; opened != 2 {
		t.Errorf("%d UDP flows were opened, want the 2 of before", opened)
	}
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 83)))
}

// targets maps each frontend to the port that it goes to.
func targets(forwards []lab.Forward) map[string]uint16 {
	ports := map[string]uint16{}
	for _, f := range forwards {
		ports[label(f)] = f.Backends[0].Port
	}
	return ports
}

// A change is one step: whoever reads meanwhile sees all of it or nothing.
func TestReadersSeeWholeChanges(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "one"), filepath.Join(dir, "two")}
	for i, file := range files {
		content := "apiVersion: xfwd/v1\nforwards:\n"
		for port := range 20 {
			content += fmt.Sprintf("  - {frontend: %d, backends: [%d]}\n", 100*(i+1)+port, 30000+i)
		}
		// This one is in both, with another target.
		content += fmt.Sprintf("  - {frontend: 80, backends: [%d]}\n", 30000+i)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var want []map[string]uint16
	for _, file := range files {
		x.Do("apply", "--prune", "-f", file)
		want = append(want, targets(x.List()))
	}
	writing := make(chan []lab.Result)
	commands := make([]*exec.Cmd, 40)
	for i := range commands {
		commands[i] = x.Command("apply", "--prune", "-f", files[i%2])
	}
	go func() {
		var results []lab.Result
		for _, command := range commands {
			results = append(results, x.RunCommand(command))
		}
		writing <- results
	}()
	seen := [2]int{}
	for {
		select {
		case results := <-writing:
			for _, result := range results {
				if result.Status != 0 {
					t.Errorf("apply: exit status %d: %s", result.Status, result.Stderr)
				}
			}
			if seen[0] == 0 || seen[1] == 0 {
				t.Errorf("the two sets were seen %v times: the test does not test what it says", seen)
			}
			return
		default:
		}
		switch got := targets(x.List()); {
		case cmp.Equal(got, want[0]):
			seen[0]++
		case cmp.Equal(got, want[1]):
			seen[1]++
		default:
			t.Errorf("a reader saw neither set: %v", got)
		}
	}
}
