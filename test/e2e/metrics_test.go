// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// Metrics are what `xfwd list` and `xfwd status` show, and as Prometheus wants them.
func TestMetricsAreWhatCommandsShow(t *testing.T) {
	t.Parallel()
	lab.Need(t, "promtool")
	f := newFleet(t, 2)
	f.publish(t, "80", f.all(), "--name", "web")
	f.publish(t, "53/tcp+udp", f.backends("", 0))
	f.xfwd.Add("192.0.2.1:9000-9005/udp", "30900-30905", "--device", "eth0", "--expires", "1h")
	f.xfwd.Add("81", "30081")
	f.xfwd.Do("backend", "drain", "81", "30081")
	for _, network := range networks {
		for _, host := range f.HostAddr.All() {
			f.open(t, network, at(host, 53), 2)
		}
	}
	for _, host := range f.HostAddr.All() {
		f.open(t, "tcp", at(host, 80), 5)
		if conn, err := f.Client.Dial("tcp", at(host, 81), anyPort); err == nil {
			conn.Close()
			t.Error("a forward whose only backend is drained takes a connection")
		}
	}
	// What serve does besides no command knows.
	s := f.xfwd.Serve("--read-only")
	forwards := settled(t, f.xfwd)
	got, status := s.Metrics(), f.xfwd.Status()

	want := lab.Samples{
		"xfwd_up": 1, "xfwd_loaded": 1, "xfwd_forwards": float64(len(forwards)),
		"xfwd_flows_capacity":                                  float64(status.Flows.MaxFlows),
		`xfwd_flows{state="established"}`:                      float64(status.Flows.Established),
		`xfwd_flows{state="transitory"}`:                       float64(status.Flows.Transitory),
		`xfwd_flow_entries_evicted_total{state="established"}`: float64(status.Flows.Evicted.Established),
		`xfwd_flow_entries_evicted_total{state="transitory"}`:  float64(status.Flows.Evicted.Transitory),
		"xfwd_flow_insert_failures_total":                      0,
		`xfwd_map_entries{map="forwards"}`:                     float64(len(forwards)),
		`xfwd_map_entries{map="backend_infos"}`:                10,
		`xfwd_map_entries{map="backend_tables"}`:               2,
		`xfwd_map_entries{map="forward_drops"}`:                1,
		`xfwd_map_capacity{map="forwards"}`:                    16384,
	}
	for _, forward := range forwards {
		labels := labelsOf(forward)
		add := func(name string, value uint64, more ...string) {
			want["xfwd_"+name+labels.with(more...)] = float64(value)
		}
		c := forward.Counters
		add("forward_packets_total", c.Forward.Packets, "direction", "in")
		add("forward_packets_total", c.Reverse.Packets, "direction", "out")
		add("forward_bytes_total", c.Forward.Bytes, "direction", "in")
		add("forward_bytes_total", c.Reverse.Bytes, "direction", "out")
		add("forward_connections_total", c.Connections.Opened)
		add("forward_active_connections", c.Connections.Active)
		if forward.ExpiresAt != nil {
			add("forward_expires_timestamp_seconds", uint64(forward.ExpiresAt.Unix()))
		}
		for reason, packets := range c.Drops {
			add("forward_drops_total", packets, "reason", reason)
		}
		ofBackends := total{}
		for _, b := range forward.Backends {
			place := fmt.Sprint(b.Port)
			if b.PortEnd != b.Port {
				place += fmt.Sprintf("-%d", b.PortEnd)
			}
			if b.Address != "" {
				place = frontend(netip.MustParseAddr(b.Address), place)
			}
			backend := []string{"backend", place}
			in, out := append(backend, "direction", "in"), append(backend, "direction", "out")
			add("backend_packets_total", b.Counters.Forward.Packets, in...)
			add("backend_packets_total", b.Counters.Reverse.Packets, out...)
			add("backend_bytes_total", b.Counters.Forward.Bytes, in...)
			add("backend_bytes_total", b.Counters.Reverse.Bytes, out...)
			add("backend_connections_total", b.Counters.Connections.Opened, backend...)
			add("backend_active_connections", b.Active, backend...)
			ofBackends.add(b.Counters)
		}
		if ofForward := (lab.BackendCounters{Forward: c.Forward, Reverse: c.Reverse, Connections: c.Connections}); ofBackends != total(ofForward) {
			t.Errorf("%s: the backends have had %+v of %+v", labels.frontend, ofBackends, ofForward)
		}
		if forward.Setup != nil {
			add("forward_setup_seconds_count", forward.Setup.Connections)
			want["xfwd_forward_setup_seconds_sum"+labels.with()] = forward.Setup.SumSeconds
			// The text format has no buckets of native histograms.
			inf := strings.TrimSuffix(labels.with(), "}") + `,le="+Inf"}`
			want["xfwd_forward_setup_seconds_bucket"+inf] = float64(forward.Setup.Connections)
			if forward.Setup.Connections != c.Connections.Opened {
				t.Errorf("%s: of %d connections, the setup of %d was timed", labels.frontend, c.Connections.Opened, forward.Setup.Connections)
			}
		} else if forward.Frontend.Protocol == "tcp" && c.Connections.Opened > 0 {
			t.Errorf("%s: of %d connections, the setup of none was timed", labels.frontend, c.Connections.Opened)
		}
	}
	for reason, packets := range status.Drops {
		want[fmt.Sprintf("xfwd_drops_total{reason=%q}", reason)] = float64(packets)
	}
	for reason, packets := range status.Passes {
		want[fmt.Sprintf("xfwd_passes_total{reason=%q}", reason)] = float64(packets)
	}
	for _, h := range status.Hooks {
		if h.Mode != "none" {
			want[fmt.Sprintf("xfwd_hook_attached{device=%q,hook=%q,mode=%q}", h.Device, h.Hook, h.Mode)] = 1
		}
	}
	for name, value := range want {
		if have, found := got[name]; !found || have != value {
			t.Errorf("%s is %v (there: %v), want %v", name, have, found, value)
		}
	}
	for name := range got {
		_, wanted := want[name]
		if strings.HasPrefix(name, "xfwd_") && !wanted && !strings.HasPrefix(name, "xfwd_map_") && !strings.HasPrefix(name, "xfwd_build_info{") {
			t.Errorf("%s is there, and no command knows of it", name)
		}
	}
	for name, value := range map[string]float64{
		`xfwd_forward_connections_total{forward="web",frontend="80/tcp",protocol="tcp"}`:                     10,
		`xfwd_forward_active_connections{forward="53/udp",frontend="53/udp",protocol="udp"}`:                 4,
		`xfwd_forward_drops_total{forward="81/tcp",frontend="81/tcp",protocol="tcp",reason="no-backend"}`:    2,
		`xfwd_forward_packets_total{direction="in",forward="81/tcp",frontend="81/tcp",protocol="tcp"}`:       0,
		`xfwd_backend_active_connections{backend="30081",forward="81/tcp",frontend="81/tcp",protocol="tcp"}`: 0,
	} {
		if have, found := got[name]; !found || have != value {
			t.Errorf("%s is %v (there: %v), want %v", name, have, found, value)
		}
	}
	for name := range got {
		for _, client := range f.ClientAddr.All() {
			if strings.Contains(name, client.String()) {
				t.Errorf("%s tells a client's address", name)
			}
		}
	}
	f.xfwd.TearOff("eth0", "egress")
	got = s.Metrics()
	if attached, found := got[`xfwd_hook_attached{device="eth0",hook="egress",mode="none"}`]; !found || attached != 0 {
		t.Errorf("of a hook that has lost its program, xfwd_hook_attached is %v (there: %v), want 0", attached, found)
	}
	if _, found := got[`xfwd_hook_attached{device="eth0",hook="ingress",mode="none"}`]; found {
		t.Error("the other hook has lost its program, too")
	}
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = strings.NewReader(s.MustGet("/metrics").Body)
	if output, err := check.CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, output)
	}
}

// total is a sum over backends.
type total lab.BackendCounters

func (t *total) add(c lab.BackendCounters) {
	for _, s := range []struct {
		sum  *uint64
		more uint64
	}{
		{&t.Forward.Packets, c.Forward.Packets},
		{&t.Forward.Bytes, c.Forward.Bytes},
		{&t.Reverse.Packets, c.Reverse.Packets},
		{&t.Reverse.Bytes, c.Reverse.Bytes},
		{&t.Connections.Opened, c.Connections.Opened},
		{&t.Connections.Active, c.Connections.Active},
	} {
		*s.sum += s.more
	}
}

// forwardLabels are those that every series of a forward has.
type forwardLabels struct{ forward, frontend, protocol string }

func labelsOf(f lab.Forward) forwardLabels {
	l := forwardLabels{f.Name, fmt.Sprint(f.Frontend.Port), f.Frontend.Protocol}
	if f.Frontend.PortEnd != f.Frontend.Port {
		l.frontend += fmt.Sprintf("-%d", f.Frontend.PortEnd)
	}
	if f.Frontend.Address != "" {
		l.frontend = frontend(netip.MustParseAddr(f.Frontend.Address), l.frontend)
	}
	l.frontend += "/" + l.protocol
	if len(f.Frontend.Devices) > 0 {
		l.frontend += " on " + strings.Join(f.Frontend.Devices, ",")
	}
	if l.forward == "" {
		l.forward = l.frontend
	}
	return l
}

// with writes them with others as Prometheus's text format does.
func (l forwardLabels) with(more ...string) string {
	labels := map[string]string{"forward": l.forward, "frontend": l.frontend, "protocol": l.protocol}
	for pair := range slices.Chunk(more, 2) {
		labels[pair[0]] = pair[1]
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		words = append(words, fmt.Sprintf("%s=%q", name, labels[name]))
	}
	return "{" + strings.Join(words, ",") + "}"
}

// Ten thousand forwards are scraped in the time of a few commands that list them, and in a megabyte on the wire.
func TestMetricsOfTenThousandForwards(t *testing.T) {
	const forwards = 10_000
	lan := lab.New(t).Direct()
	x := lan.Host.XFWD()
	var file strings.Builder
	file.WriteString("apiVersion: xfwd/v1\nforwards:\n")
	for i := range forwards {
		fmt.Fprintf(&file, "  - {frontend: %d, backends: [%d]}\n", 10_000+i, 30_000+i)
	}
	path := filepath.Join(t.TempDir(), "forwards.yaml")
	write(t, path, file.String())
	x.Do("apply", "--max-flows", x.MaxFlows, "-f", path)
	s := x.Serve()
	if got := s.Metrics(); got["xfwd_forwards"] != forwards {
		t.Fatalf("%v forwards are shown", got["xfwd_forwards"])
	}
	// Backends of high numbers are counted elsewhere in the kernel than those of low ones.
	for _, i := range []int{0, forwards - 1} {
		for _, host := range lan.HostAddr.All() {
			if conn, err := lan.Client.Dial("tcp", at(host, uint16(10_000+i)), anyPort); err == nil {
				conn.Close()
				t.Errorf("somebody answers at port %d", 30_000+i)
			}
		}
		labels := fmt.Sprintf(`{backend="%d",direction="in",forward="%[2]d/tcp",frontend="%[2]d/tcp",protocol="tcp"}`, 30_000+i, 10_000+i)
		if packets := s.Metrics()["xfwd_backend_packets_total"+labels]; packets != 2 {
			t.Errorf("%v packets are counted for the backend of port %d, want 2", packets, 10_000+i)
		}
	}
	s.Header.Set("Accept-Encoding", "gzip")
	var fastest time.Duration
	var answer lab.Answer
	for range 5 {
		start := time.Now()
		answer = s.MustGet("/metrics")
		if took := time.Since(start); fastest == 0 || took < fastest {
			fastest = took
		}
	}
	text, err := answer.Unzipped()
	if err != nil {
		t.Fatal(err)
	}
	samples, err := lab.ParseSamples(text)
	if err != nil || len(samples) < 12*forwards {
		t.Errorf("%d samples: %v", len(samples), err)
	}
	t.Logf("%d samples, %d bytes, %d compressed, in %v", len(samples), len(text), len(answer.Body), fastest)
	// A command reads all of it as well, beside others on the same machine.
	reading := time.Minute
	for range 5 {
		reading = min(reading, x.Do("list", "-o", "json").Elapsed)
	}
	if fastest > 4*reading {
		t.Errorf("a scrape takes %v, want at most four times the %v of `xfwd list -o json`", fastest, reading)
	}
	if len(text) > 14<<20 {
		t.Errorf("%d bytes, want 14 MiB at most", len(text))
	}
	if len(answer.Body) > 1<<20 {
		t.Errorf("%d bytes compressed, want 1 MiB at most", len(answer.Body))
	}
}
