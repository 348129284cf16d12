// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/test/lab"
)

// A million flows are listed, filtered, counted and forgotten in little memory, and
// nobody waits for one who reads them slowly.
func TestAMillionFlows(t *testing.T) {
	t.Parallel()
	const (
		flows = 1_000_000
		// every is how far apart those of UDP are.
		every = 10
		// mostMemory is what a process may need, in KB: a tenth of what the flows themselves take.
		mostMemory = 64 << 10
	)
	lan := lab.New(t).Direct()
	x := lan.Host.XFWD()
	x.MaxFlows = fmt.Sprint(flows + flows/10)
	x.Add("80/tcp+udp", "30080", "--balance", "least-connections")
	conns := map[string]*lab.Conn{}
	for _, network := range networks {
		lan.Host.Echo(network, ":30080")
		conns[network] = lan.Client.MustConnect(network, at(lan.HostAddr.V4, 80))
		mustEcho(t, conns[network])
	}
	began := time.Now()
	fill(t, x, flows, every)
	filling := time.Since(began)
	t.Logf("filling takes %v", filling.Round(time.Millisecond))

	// Reading takes hardly more than writing did, where it prints but little.
	run := func(out io.Writer, args ...string) {
		t.Helper()
		began := time.Now()
		command := x.Command(args...)
		var stderr bytes.Buffer
		command.Stdout, command.Stderr = out, &stderr
		if err := command.Start(); err != nil {
			t.Fatalf("xfwd %s: %v", strings.Join(args, " "), err)
		}
		memory := memoryOf(command.Process.Pid)
		if err := command.Wait(); err != nil {
			t.Errorf("xfwd %s: %v: %s", strings.Join(args, " "), err, &stderr)
		}
		took, most := time.Since(began), <-memory
		t.Logf("xfwd %s: %v, %d KB", strings.Join(args, " "), took.Round(time.Millisecond), most)
		if most == 0 || most > mostMemory {
			t.Errorf("xfwd %s takes %d KB", strings.Join(args, " "), most)
		}
		if limit := 20*filling + 10*time.Second; took > limit {
			t.Errorf("xfwd %s takes %v, and filling the table %v", strings.Join(args, " "), took, filling)
		}
	}
	say := func(want string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		if run(&out, args...); out.String() != want {
			t.Errorf("xfwd %s says %q, want %q", strings.Join(args, " "), out.String(), want)
		}
	}
	say(fmt.Sprintln(flows+2), "flows", "--count")
	say(fmt.Sprintln(flows/every+1), "flows", "--count", "80/udp")
	say("1000\n", "flows", "--count", "--limit", "1000")
	say("256\n", "flows", "--count", "--client", "10.1.2.0/24")
	var table bytes.Buffer
	run(&table, "flows", "--client", "10.1.2.3")
	if lines := strings.Split(table.String(), "\n"); len(lines) != 3 || !strings.Contains(lines[1], "  10.1.2.3:") {
		t.Errorf("the flow of one client is\n%s", &table)
	}
	lines := &lineCounter{}
	if run(lines, "flows"); lines.count != flows+3 {
		t.Errorf("a table of %d lines", lines.count)
	}
	in, out := io.Pipe()
	go func() {
		run(out, "flows", "-o", "json")
		out.Close()
	}()
	if n, err := countClients(in); err != nil || n != flows {
		t.Errorf("JSON has %d flows, %v", n, err)
	}

	// One who reads the first line only, for now.
	slow := x.Command("flows")
	rest := pipe(t, slow)
	if _, err := rest.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if took := x.Add("81", "30080").Elapsed; took > 10*time.Second {
		t.Errorf("adding a forward takes %v while somebody reads flows", took)
	}
	if _, err := io.Copy(io.Discard, rest); err != nil {
		t.Error(err)
	}
	if err := slow.Wait(); err != nil {
		t.Error(err)
	}

	clients := []string{"--client", million.String()}
	say(fmt.Sprintf("would forget %d flows\n", flows/every), append([]string{"flows", "del", "80/udp", "--dry-run"}, clients...)...)
	say(fmt.Sprintf("forgot %d flows\n", flows/every), append([]string{"flows", "del", "80/udp"}, clients...)...)
	say(fmt.Sprintln(flows-flows/every+2), "flows", "--count")
	say(fmt.Sprintf("forgot %d flows\n", flows-flows/every), append([]string{"flows", "del"}, clients...)...)
	say("2\n", "flows", "--count")
	for _, conn := range conns {
		mustEcho(t, conn)
	}
	for _, name := range []string{"flows_established", "flows_transitory"} {
		if n := entriesOf(t, x, name); n > 2*len(conns) {
			t.Errorf("%s has %d entries left", name, n)
		}
	}
}

// memoryOf watches how much memory a process takes, and sends the most, in KB, when it
// has ended. What its parent sees of it counts the parent's own.
func memoryOf(pid int) <-chan int {
	result := make(chan int, 1)
	go func() {
		most := 0
		for {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			_, behind, found := strings.Cut(string(status), "VmHWM:")
			if err != nil || !found {
				result <- most
				return
			}
			fmt.Sscan(behind, &most)
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return result
}

// pipe starts a command and returns what it writes.
func pipe(t *testing.T, command *exec.Cmd) *bufio.Reader {
	t.Helper()
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if command.ProcessState == nil {
			command.Process.Kill()
			command.Wait()
		}
	})
	return bufio.NewReaderSize(out, 64)
}

// fill copies the flows of the table for so many clients, from 10.0.0.0 on: that of UDP
// for one in so many, that of TCP for all others.
func fill(t *testing.T, x *lab.XFWD, flows, every int) {
	t.Helper()
	table := openMap(t, x, "flows_established")
	type entry struct {
		key  bpf.XfwdTuple
		flow bpf.XfwdFlow
	}
	patterns := map[uint8]entry{}
	var e entry
	for it := table.Iterate(); it.Next(&e.key, &e.flow); {
		if e.flow.Flags&uint8(bpf.XfwdFlowFlagFLOW_REVERSE) == 0 {
			patterns[e.key.Protocol] = e
		}
	}
	if len(patterns) != 2 {
		t.Fatalf("there are flows of %d protocols, want 2", len(patterns))
	}
	var keys []bpf.XfwdTuple
	var values []bpf.XfwdFlow
	for i := range flows {
		forward := patterns[unix.IPPROTO_TCP]
		if i%every == 0 {
			forward = patterns[unix.IPPROTO_UDP]
		}
		// The last word of an address that is IPv4.
		client := million.Addr().As4()
		binary.BigEndian.PutUint32(client[:], binary.BigEndian.Uint32(client[:])+uint32(i))
		word := binary.NativeEndian.Uint32(client[:])
		forward.key.Source.Word[3], forward.flow.To.Source.Word[3] = word, word
		reverse := entry{reversedTuple(forward.flow.To), forward.flow}
		reverse.flow.To = reversedTuple(forward.key)
		reverse.flow.Flags ^= uint8(bpf.XfwdFlowFlagFLOW_REVERSE)
		for _, e := range []entry{forward, reverse} {
			keys, values = append(keys, e.key), append(values, e.flow)
		}
		if len(keys) >= 1<<14 || i == flows-1 {
			if _, err := table.BatchUpdate(keys, values, nil); err != nil {
				t.Fatalf("filling %v: %v", table, err)
			}
			keys, values = keys[:0], values[:0]
		}
	}
}

// million are the addresses of the clients that fill makes.
var million = netip.MustParsePrefix("10.0.0.0/8")

func reversedTuple(k bpf.XfwdTuple) bpf.XfwdTuple {
	k.Source, k.Destination = k.Destination, k.Source
	k.SourcePort, k.DestinationPort = k.DestinationPort, k.SourcePort
	return k
}

// openMap opens a pinned map of an instance, which is the only one of its directory.
func openMap(t *testing.T, x *lab.XFWD, name string) *ebpf.Map {
	t.Helper()
	pins, err := filepath.Glob(filepath.Join(x.Root, "net-*", "maps", name))
	if err != nil || len(pins) != 1 {
		t.Fatalf("%s is pinned at %v, %v", name, pins, err)
	}
	m, err := ebpf.LoadPinnedMap(pins[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// entriesOf counts the entries of a map of flows.
func entriesOf(t *testing.T, x *lab.XFWD, name string) int {
	t.Helper()
	var key bpf.XfwdTuple
	var flow bpf.XfwdFlow
	n := 0
	it := openMap(t, x, name).Iterate()
	for it.Next(&key, &flow) {
		n++
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// lineCounter counts the lines that are written to it.
type lineCounter struct{ count int }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.count += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

// countClients reads flows as JSON, up to the end, and returns how many clients of the
// million are among them.
func countClients(in io.Reader) (int, error) {
	decoder := json.NewDecoder(in)
	if _, err := decoder.Token(); err != nil {
		return 0, err
	}
	seen := map[uint32]bool{}
	for decoder.More() {
		var flow struct{ Client struct{ Address netip.Addr } }
		if err := decoder.Decode(&flow); err != nil {
			return len(seen), err
		}
		if million.Contains(flow.Client.Address) {
			client := flow.Client.Address.As4()
			seen[binary.BigEndian.Uint32(client[:])] = true
		}
	}
	if _, err := decoder.Token(); err != nil {
		return len(seen), err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return len(seen), fmt.Errorf("behind the list: %v", err)
	}
	return len(seen), nil
}
