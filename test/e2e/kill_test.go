// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// Killed with SIGKILL before each step that could change something, a command
// has done all or nothing, the next command works, and no half-forward stays:
// what is listed is what is forwarded, and nothing else.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	const before, after = "one", "two"
	files := map[string]string{}
	for name, ports := range map[string][]int{before: {80, 81, 82}, after: {81, 83, 84}} {
		content := "apiVersion: xfwd/v1\nforwards:\n"
		for _, port := range ports {
			content += fmt.Sprintf("  - {frontend: %d/tcp+udp, backends: [30080]}\n", port)
		}
		files[name] = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(files[name], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range []struct {
		name string
		// prepare brings about the state in which the command is run.
		prepare [][]string
		// upgrade has the command replace the programs as well.
		upgrade bool
		command []string
		// outcomes are the ports that may be published once it is killed.
		outcomes [][]int
		// repair is the next command, after which these ports are published.
		repair   []string
		repaired []int
	}{
		{
			"first load", [][]string{{"unload"}}, false, []string{"add", "80/tcp+udp", "30080"}, [][]int{{}, {80}},
			[]string{"add", "81/tcp+udp", "30080"}, nil,
		},
		{
			"add", [][]string{{"apply", "--prune", "-f", files[before]}}, false, []string{"add", "83/tcp+udp", "30080"},
			[][]int{{80, 81, 82}, {80, 81, 82, 83}}, []string{"add", "83/tcp+udp", "30080"}, []int{80, 81, 82, 83},
		},
		{
			"del", [][]string{{"apply", "--prune", "-f", files[before]}}, false, []string{"del", "81/tcp+udp"},
			[][]int{{80, 81, 82}, {80, 82}}, []string{"apply", "--prune", "-f", files[after]}, []int{81, 83, 84},
		},
		{
			"apply", [][]string{{"apply", "--prune", "-f", files[before]}}, false, []string{"apply", "--prune", "-f", files[after]},
			[][]int{{80, 81, 82}, {81, 83, 84}}, []string{"apply", "--prune", "-f", files[after]}, []int{81, 83, 84},
		},
		{
			"unload", [][]string{{"apply", "--prune", "-f", files[before]}}, false, []string{"unload"},
			[][]int{{80, 81, 82}, {}}, []string{"apply", "--prune", "-f", files[after]}, []int{81, 83, 84},
		},
		{
			"upgrade", [][]string{{"apply", "--prune", "-f", files[before]}}, true, []string{"add", "83/tcp+udp", "30080"},
			[][]int{{80, 81, 82}, {80, 81, 82, 83}}, []string{"add", "83/tcp+udp", "30080"}, []int{80, 81, 82, 83},
		},
	} {
		t.Run(command.name, func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			for _, network := range networks {
				net.Host.Echo(network, ":30080")
			}
			x := net.Host.XFWD()
			steps := map[string]int{}
			for step := 1; ; step++ {
				for _, words := range command.prepare {
					x.Do(words...)
				}
				if command.upgrade {
					ofAnotherBuild(t, x)
				}
				killedBefore := x.KillAtStep(step, command.command...)
				name := fmt.Sprintf("killed before step %d, %s", step, killedBefore)
				steps[killedBefore]++
				published := publishedPorts(x)
				if !slices.ContainsFunc(command.outcomes, func(o []int) bool { return slices.Equal(o, published) }) {
					t.Errorf("%s: published are %v, want one of %v", name, published, command.outcomes)
				}
				mustForwardOnly(t, net, published, name)

				x.Do(command.repair...)
				want := command.repaired
				if want == nil {
					want = append(slices.Clone(published), 81)
				}
				if got := publishedPorts(x); !slices.Equal(got, want) {
					t.Errorf("%s: after the next command %v are published, want %v", name, got, want)
				}
				mustForwardOnly(t, net, want, name+", then repaired")
				if killedBefore == "" {
					break
				}
				if t.Failed() {
					t.FailNow()
				}
			}
			t.Logf("killed before each of %v", steps)
			if len(steps) < 3 {
				t.Error("hardly a step was found: the test does not test what it says")
			}
		})
	}
}

var lastFreshPort atomic.Uint32

// freshPort returns a port that no client has had for long. With one that had a
// flow a moment ago, a client could have that flow again, until the dataplane is
// unloaded to the end.
func freshPort() uint16 {
	const first, last = 1024, 32767
	return uint16(first + lastFreshPort.Add(1)%(last-first+1))
}

// publishedPorts lists the ports of the forwards, and fails the test unless each
// is there for TCP and UDP and goes to port 30080.
func publishedPorts(x *lab.XFWD) []int {
	ports := []int{}
	for _, f := range x.List() {
		ports = append(ports, int(f.Frontend.Port))
	}
	return slices.Compact(ports)
}

// mustForwardOnly fails the test unless, of the ports that the test uses, those
// given are forwarded, and all others refused at once.
func mustForwardOnly(t *testing.T, net *lab.Network, ports []int, when string) {
	t.Helper()
	for port := 80; port <= 84; port++ {
		for _, network := range networks {
			for _, client := range []*lab.Namespace{net.Client, net.Host} {
				from := anyPort
				if client == net.Client {
					from = at(net.ClientAddr.V4, freshPort())
				}
				conn, err := client.Connect(network, at(net.HostAddr.V4, uint16(port)), from)
				if err == nil {
					conn.Close()
				}
				switch {
				case slices.Contains(ports, port) && err != nil:
					t.Errorf("%s: %s port %d is published, but: %v", when, network, port, err)
				case !slices.Contains(ports, port) && !errors.Is(err, syscall.ECONNREFUSED):
					t.Errorf("%s: %s port %d is not published, but: %v", when, network, port, err)
				}
			}
		}
	}
}
