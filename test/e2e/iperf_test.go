// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// Clients of iperf3, each of which makes two connections that must come to one
// backend, use several backends at once: affinity keeps a client together, and
// round-robin gives each backend one of them.
func TestIperf3OverSeveralBackends(t *testing.T) {
	t.Parallel()
	lab.Need(t, "iperf3")
	const backends = 3
	f := newSilentFleet(t, backends)
	clients := f.crowd(t, backends)
	servers := f.startIperf(t)
	f.publish(t, "5201", f.all(), "--balance", "round-robin", "--affinity", "1h")
	tests := 0
	for family, host := range f.HostAddr.All() {
		for _, direction := range [][]string{{}, {"-R"}, {"--bidir"}} {
			within(t, f.Network, strings.Join(append([]string{family}, direction...), " "), func(t *testing.T) {
				tests++
				awaitIperf(t, servers, tests)
				for i, client := range f.iperfEach(t, host, clients, 1, direction...) {
					if result := iperfOutcome(t, client); result.Error != "" || result.End.Received.Bytes < 1e6 {
						t.Errorf("the client of backend %d: %+v", i, result)
					}
				}
			})
		}
	}
}

// When a backend is killed under load, its connections break and no others.
func TestBackendKilledUnderLoad(t *testing.T) {
	t.Parallel()
	lab.Need(t, "iperf3")
	const backends, killed = 3, 1
	for _, family := range []string{"IPv4", "IPv6"} {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			f := newSilentFleet(t, backends)
			host := map[string]netip.Addr{"IPv4": f.HostAddr.V4, "IPv6": f.HostAddr.V6}[family]
			clients := f.crowd(t, backends)
			servers := f.startIperf(t)
			f.publish(t, "5201", f.all(), "--balance", "round-robin", "--affinity", "1h")
			awaitIperf(t, servers, 1)
			running := f.iperfEach(t, host, clients, 4)
			time.Sleep(time.Second)
			servers[killed].Kill()
			start := time.Now()
			if result := iperfOutcome(t, running[killed]); result.Error == "" {
				t.Error("the client of the killed backend noticed nothing")
			}
			if elapsed := time.Since(start); elapsed > 2*time.Second {
				t.Errorf("it noticed after %v", elapsed)
			}
			for i, client := range running {
				if i == killed {
					continue
				}
				if result := iperfOutcome(t, client); result.Error != "" || result.End.Received.Bytes < 1e6 {
					t.Errorf("the client of backend %d: %+v", i, result)
				}
			}
		})
	}
}

// iperfResult is what `iperf3 -J` says.
type iperfResult struct {
	Error string
	End   struct {
		Received struct{ Bytes float64 } `json:"sum_received"`
	}
}

// iperfEach starts iperf3 from some of the client's addresses, for some seconds,
// one after the other, and returns them by the backend that each uses.
func (f *fleet) iperfEach(t *testing.T, host netip.Addr, clients []lab.Addresses, seconds int, more ...string) []*lab.Process {
	t.Helper()
	running := make([]*lab.Process, len(f.pods))
	for _, addresses := range clients {
		from := addresses.Of(host)
		args := []string{"-c", host.String(), "-B", from.String(), "-p", "5201", "-t", strconv.Itoa(seconds), "-J"}
		client := f.Client.StartCommand(exec.Command("iperf3", append(args, more...)...))
		lab.Eventually(t, lab.Patience, func() error {
			for _, flow := range f.xfwd.Flows() {
				if flow.Client.Address == from.String() && flow.State == "established" {
					running[f.index(t, netip.MustParseAddr(flow.Target.Address))] = client
					return nil
				}
			}
			return fmt.Errorf("%v has no connection; %s", from, &client.Stdout)
		})
	}
	for i, client := range running {
		if client == nil {
			t.Fatalf("no client came to backend %d", i)
		}
	}
	return running
}

// iperfOutcome waits for iperf3 and returns what it says.
func iperfOutcome(t *testing.T, client *lab.Process) (result iperfResult) {
	t.Helper()
	err := client.Wait()
	if failed := json.Unmarshal([]byte(client.Stdout.String()), &result); failed != nil {
		t.Fatalf("iperf3: %v: %v in %s", err, failed, &client.Stdout)
	}
	return result
}

// startIperf starts a server in each pod.
func (f *fleet) startIperf(t *testing.T) (servers []*lab.Process) {
	t.Helper()
	for _, pod := range f.pods {
		servers = append(servers, pod.Start("iperf3", "-s", "-p", strconv.Itoa(fleetPort), "--forceflush"))
	}
	return servers
}

// awaitIperf waits until servers are ready for their n-th test: each serves one at
// a time, and says when it is ready for the next.
func awaitIperf(t *testing.T, servers []*lab.Process, n int) {
	t.Helper()
	for i, server := range servers {
		lab.Eventually(t, lab.Patience, func() error {
			if !server.Running() || strings.Count(server.Stdout.String(), "Server listening") < n {
				return fmt.Errorf("iperf3 at backend %d says %s%s", i, &server.Stdout, &server.Stderr)
			}
			return nil
		})
	}
}
