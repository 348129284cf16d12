// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/xfwd/xfwd/test/lab"
)

// list -o json has the documented shape, all keys and no others.
func TestListJSON(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	if got := strings.TrimSpace(x.Do("list", "-o", "json").Stdout); got != "[]" {
		t.Errorf("before anything is loaded: %s", got)
	}
	x.Add("443-445/udp", "30443-30445", "--name", "quic", "--device", "eth0", "--comment", "the web")
	var got any
	if err := json.Unmarshal([]byte(x.Do("list", "-o", "json").Stdout), &got); err != nil {
		t.Fatal(err)
	}
	zero, none := map[string]any{"packets": 0., "bytes": 0.}, map[string]any{"opened": 0., "active": 0.}
	want := []any{map[string]any{
		"name": "quic",
		"frontend": map[string]any{
			"protocol": "udp", "address": "", "port": 443., "portEnd": 445., "devices": []any{"eth0"},
		},
		"backends": []any{map[string]any{
			"address": "", "port": 30443., "portEnd": 30445., "weight": 1., "state": "active", "health": "", "active": 0.,
			"counters": map[string]any{"forward": zero, "reverse": zero, "connections": none},
		}},
		"source": "auto", "balance": "maglev", "affinitySeconds": 0., "own": "auto", "check": nil, "mss": "auto", "comment": "the web", "expiresAt": nil,
		"counters": map[string]any{
			"forward": zero, "reverse": zero, "connections": none, "drops": map[string]any{},
		},
	}}
	if difference := cmp.Diff(any(want), got); difference != "" {
		t.Errorf("want (-), got (+):\n%s", difference)
	}
}

// tcp+udp is two entries, and forwards come in a stable order.
func TestListOrder(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	for _, frontend := range []string{"443/tcp+udp", "80", "[2001:db8:1::1]:80", "198.18.1.1:80", "9000-9005"} {
		backend := "30080"
		if strings.Contains(frontend, "-") {
			backend = "30000-30005"
		}
		x.Add(frontend, backend)
	}
	want := []string{"80/tcp", "443/tcp", "443/udp", "9000/tcp", "198.18.1.1:80/tcp", "2001:db8:1::1:80/tcp"}
	if difference := cmp.Diff(want, frontends(x)); difference != "" {
		t.Errorf("want (-), got (+):\n%s", difference)
	}
}

// settled lists the forwards once nothing is on its way any more: TCP may hold
// an acknowledgement back for a while.
func settled(t *testing.T, x *lab.XFWD) (forwards []lab.Forward) {
	t.Helper()
	lab.Eventually(t, lab.Patience, func() error {
		forwards = x.List()
		time.Sleep(100 * time.Millisecond)
		if difference := cmp.Diff(forwards, x.List()); difference != "" {
			return fmt.Errorf("counters still move:\n%s", difference)
		}
		return nil
	})
	return forwards
}

// frontends lists the frontends that are published, in a form of its own.
func frontends(x *lab.XFWD) []string {
	names := []string{}
	for _, f := range x.List() {
		names = append(names, label(f))
	}
	return names
}

func label(f lab.Forward) string {
	name := fmt.Sprintf("%d/%s", f.Frontend.Port, f.Frontend.Protocol)
	if f.Frontend.Address != "" {
		name = f.Frontend.Address + ":" + name
	}
	return name
}

// Adding what is already there is done, and disturbs nothing.
func TestAddIsIdempotent(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()
	x.Add("80", "30080")
	conn := net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80))
	mustEcho(t, conn)
	before := settled(t, x)
	x.Add("80", "30080")
	x.Add("80/tcp", "30080", "--name", "")
	if difference := cmp.Diff(before, x.List()); difference != "" {
		t.Errorf("before (-), after (+):\n%s", difference)
	}
	mustEcho(t, conn)
}

// Adding what is there with another check changes the check, and nothing else.
func TestAddChangesTheCheck(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()
	x.Add("80", "30080", "--check", "tcp")
	conn := net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80))
	mustEcho(t, conn)
	want := settled(t, x)
	tcp := lab.Check{Kind: "tcp", IntervalSeconds: 5, TimeoutSeconds: 2, Rise: 2, Fall: 3}
	if difference := cmp.Diff(&tcp, want[0].Check); difference != "" {
		t.Errorf("want (-), got (+):\n%s", difference)
	}
	http := lab.Check{Kind: "http", Path: "/healthz", Port: 8080, IntervalSeconds: 0.25, TimeoutSeconds: 0.1, Rise: 1, Fall: 10}
	for _, step := range []struct {
		word string
		want *lab.Check
	}{
		{"http,path=/healthz,port=8080,interval=250ms,timeout=100ms,rise=1,fall=10", &http},
		{"tcp", &tcp},
		{"", nil},
	} {
		if got := x.Add("80", "30080", "--check", step.word).Stdout; !strings.HasPrefix(got, "changed 80/tcp: ") {
			t.Errorf("a change of the check is told as %q", got)
		}
		want[0].Check = step.want
		if difference := cmp.Diff(want, x.List()); difference != "" {
			t.Errorf("want (-), got (+):\n%s", difference)
		}
		mustEcho(t, conn)
		want = settled(t, x)
	}
	mustFail(t, x.Run("add", "80", "30081", "--check", "tcp"), 3, "--replace")
}

// Twenty adds at once all succeed, though the first must load.
func TestTwentyAddsAtOnce(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	var all sync.WaitGroup
	results := make([]lab.Result, 20)
	for i := range results {
		net.Host.Echo("tcp", fmt.Sprintf(":%d", 31000+i))
		command := x.Command("add", "--max-flows", x.MaxFlows, fmt.Sprint(81+i), fmt.Sprint(31000+i))
		all.Go(func() { results[i] = x.RunCommand(command) })
	}
	all.Wait()
	for i, result := range results {
		if result.Status != 0 {
			t.Errorf("add %d: exit status %d: %s", i, result.Status, result.Stderr)
		}
	}
	if t.Failed() {
		return
	}
	for i := range results {
		for _, host := range net.HostAddr.All() {
			mustEcho(t, net.Client.MustConnect("tcp", at(host, uint16(81+i))))
		}
	}
	if got := x.List(); len(got) != len(results) {
		t.Errorf("%d forwards are there, want %d", len(got), len(results))
	}
}

// Every command leaves other network namespaces, and other instances, alone:
// two hosts publish the same port to different targets.
func TestInstancesDoNotMeet(t *testing.T) {
	t.Parallel()
	one, two := lab.New(t).Direct(), lab.New(t).Direct()
	for net, port := range map[*lab.Network]string{one: "30081", two: "30082"} {
		net.Host.Echo("tcp", ":"+port)
		net.Host.XFWD().Add("80", port)
	}
	for net, port := range map[*lab.Network]uint16{one: 30081, two: 30082} {
		for _, client := range []*lab.Namespace{net.Client, net.Host} {
			conn := client.MustConnect("tcp", at(net.HostAddr.V4, 80))
			if conn.Server.Port() != port {
				t.Errorf("%v was reached, want port %d", conn.Server, port)
			}
		}
	}
}

// Two namespaces may share a pin directory.
func TestOneRootForTwoNamespaces(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	host := net.Host.XFWD()
	client := host.For(net.Client)
	host.Add("80", "30081")
	client.Add("80", "30082")
	for x, port := range map[*lab.XFWD]uint16{host: 30081, client: 30082} {
		if got := x.List(); len(got) != 1 || got[0].Backends[0].Port != port {
			t.Errorf("want a forward to %d, got %+v", port, got)
		}
	}
	client.Do("unload")
	if got := host.List(); len(got) != 1 {
		t.Errorf("after the other namespace's was unloaded: %+v", got)
	}
}

// --netns takes a path as well, and run under `ip netns exec`, where bpffs is
// hidden, everything still works, on the same instance.
func TestNetNSInEveryWay(t *testing.T) {
	t.Parallel()
	lab.Need(t, "ip")
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()
	inside := func(args ...string) lab.Result {
		t.Helper()
		args = append([]string{"netns", "exec", net.Host.Name, x.Binary(), "--root", x.Root}, args...)
		return mustRun(t, x, exec.Command("ip", args...))
	}
	inside("add", "--max-flows", x.MaxFlows, "80", "30080")
	mustRun(t, x, x.CommandIn(net.Host.Path(), "add", "81", "30080"))
	for _, port := range []uint16{80, 81} {
		mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, port)))
	}
	if listed := inside("list", "-o", "json").Stdout; strings.Count(listed, `"frontend"`) != 2 {
		t.Errorf("under ip netns exec, list shows %s", listed)
	}
	if listed := x.List(); len(listed) != 2 {
		t.Errorf("from outside, list shows %+v", listed)
	}
	inside("del", "80")
	inside("unload")
	if x.Status().Loaded {
		t.Error("unload under ip netns exec did not unload")
	}
}

// mustRun runs a prepared command line and fails the test unless it succeeds.
func mustRun(t *testing.T, x *lab.XFWD, command *exec.Cmd) lab.Result {
	t.Helper()
	result := x.RunCommand(command)
	if result.Status != 0 {
		t.Fatalf("%s: exit status %d: %s", command, result.Status, result.Stderr)
	}
	return result
}

// A namespace that is not there, and words that are none, are told apart.
func TestUnknownNamespace(t *testing.T) {
	t.Parallel()
	x := lab.New(t).Direct().Host.XFWD()
	mustFail(t, x.RunCommand(x.CommandIn("no-such-namespace", "add", "80", "30080")), 4, "no-such-namespace")
}
