// SPDX-License-Identifier: Apache-2.0

package top

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rivo/uniseg"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/figures"
)

// noon is when the first sample of tests is taken.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// forward is one of a sample, which gets so many packets of 1000 bytes a second, and
// answers with half of them. Its first backend has them all but for a tenth for each other one.
func forward(t *testing.T, words string, second, rate int) []ctl.ForwardCounters {
	t.Helper()
	frontend, backends, _ := strings.Cut(words, " ")
	all, err := ctl.Spec{Frontend: frontend, Backends: strings.Fields(backends)}.Forwards(noon)
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(second * rate)
	var counted []ctl.ForwardCounters
	for _, f := range all {
		c := ctl.ForwardCounters{Forward: f, Uses: make([]ctl.BackendUse, len(f.Backends)), Counters: ctl.Counters{
			Forward:     ctl.Traffic{Packets: n, Bytes: 1000 * n},
			Reverse:     ctl.Traffic{Packets: n / 2, Bytes: 500 * n},
			Connections: ctl.Connections{Opened: n / 10, Active: uint64(rate / 10)},
		}}
		for i := range c.Uses {
			part := n / 10
			if i == 0 {
				part = n - n/10*uint64(len(c.Uses)-1)
			}
			c.Uses[i] = ctl.BackendUse{
				Forward:     ctl.Traffic{Packets: part, Bytes: 1000 * part},
				Reverse:     ctl.Traffic{Packets: part / 2, Bytes: 500 * part},
				Connections: ctl.Connections{Opened: part / 10, Active: uint64(i)},
			}
		}
		counted = append(counted, c)
	}
	return counted
}

// sample is what there is so many seconds after noon.
func sample(t *testing.T, second int) Sample {
	t.Helper()
	s := Sample{Sample: figures.Sample{At: noon.Add(time.Duration(second) * time.Second)}}
	s.Forwards = slices.Concat(
		forward(t, "80 30080 10.0.1.100:80", second, 1000),
		forward(t, "53/udp 5353", second, 200),
		forward(t, "[2001:db8::7]:443 [2001:db8::9]:8443", second, 30_000),
	)
	s.Forwards[0].Counters.Drops = map[string]uint64{"no-claim": uint64(7 * second)}
	s.Status = ctl.Status{Loaded: true, Flows: ctl.FlowTable{MaxFlows: 65536, Established: 6554, Transitory: 100}}
	return s
}

// model is one that was shown samples of two seconds, on a screen of 80x24.
func model(t *testing.T) *Model {
	t.Helper()
	m := NewModel(time.Second, sample(t, 1))
	m.Resize(80, 24)
	m.Add(sample(t, 2))
	return m
}

// screen is what a model shows.
func screen(m *Model) string {
	var b strings.Builder
	for _, line := range m.View() {
		b.WriteString(line.Text + "\n")
	}
	return b.String()
}

// press presses keys, which are single characters or have names in angle brackets.
func press(m *Model, keys string) {
	for keys != "" {
		key, rest := keys[:1], keys[1:]
		if key == "<" {
			key, rest, _ = strings.Cut(rest, ">")
		}
		m.Press(key)
		keys = rest
	}
}

// emptyLines is the room that is left.
var emptyLines = regexp.MustCompile("\n{3,}")

func mustShow(t *testing.T, m *Model, want string) {
	t.Helper()
	if lines := m.View(); len(lines) != 24 {
		t.Errorf("%d lines", len(lines))
	}
	got := emptyLines.ReplaceAllString(screen(m), "\n…\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestList(t *testing.T) {
	m := model(t)
	mustShow(t, m, `xfwd top 12:00:02  3 forwards by IN/S  flows 6.6k of 66k (10%)
in 31k/s 250M bit/s  out 16k/s 125M bit/s  new 3.1k/s  active 3.1k  drops 7/s

FRONTEND               IN/S IN-BIT/S OUT/S OUT-BIT/S NEW/S ACTIVE DROPS/S
[2001:db8::7]:443/tcp   30k     240M   15k      120M  3.0k   3.0k       0
80/tcp                 1.0k     8.0M   500      4.0M   100    100       7
53/udp                  200     1.6M   100      800k    20     20       0
…
q quit  enter look into  s sort  r reverse  / filter  space pause  ? help
`)
}

// Names are shown if there is room for them, and as much of them as there is.
func TestNames(t *testing.T) {
	for _, test := range []struct {
		name  string
		width int
		want  string
	}{
		{"resolver-of-the-office", 81, ""},
		{"resolver-of-the-office", 82, "resolve~"},
		{"resolver-of-the-office", 95, "resolver-of-the-offi~"},
		{"resolver-of-the-office", 132, "resolver-of-the-office"},
		{"dns", 78, "dns"},
		{"dns", 77, ""},
	} {
		named := sample(t, 2)
		named.Forwards[1].Name = test.name
		m := NewModel(time.Second, sample(t, 1))
		m.Resize(test.width, 24)
		m.Add(named)
		title, row := fmt.Sprintf("\n%-21s  IN/S ", "FRONTEND"), fmt.Sprintf("\n%-21s   200 ", "53/udp")
		if test.want != "" {
			width := max(len("NAME"), len(test.want))
			title = fmt.Sprintf("\n%-21s %-*s  IN/S ", "FRONTEND", width, "NAME")
			row = fmt.Sprintf("\n%-21s %-*s   200 ", "53/udp", width, test.want)
		}
		if got := screen(m); !strings.Contains(got, title) || !strings.Contains(got, row) {
			t.Errorf("%s with %d columns, want%s%s:\n%s", test.name, test.width, title, row, got)
		}
	}
}

// Before a second sample there are no rates, and none are made up.
func TestFirstSample(t *testing.T) {
	m := NewModel(time.Second, sample(t, 5))
	m.Resize(80, 24)
	mustShow(t, m, `xfwd top 12:00:05  3 forwards by IN/S  flows 6.6k of 66k (10%)
in -/s - bit/s  out -/s - bit/s  new -/s  active 3.1k  drops -/s

FRONTEND               IN/S IN-BIT/S OUT/S OUT-BIT/S NEW/S ACTIVE DROPS/S
80/tcp                    -        -     -         -     -    100       -
53/udp                    -        -     -         -     -     20       -
[2001:db8::7]:443/tcp     -        -     -         -     -   3.0k       -
…
q quit  enter look into  s sort  r reverse  / filter  space pause  ? help
`)
}

// labels are the frontends of the list, in their order.
func labels(m *Model) string {
	var all []string
	for _, f := range m.rows() {
		all = append(all, f.Label)
	}
	return strings.Join(all, " ")
}

func TestSort(t *testing.T) {
	m := model(t)
	for _, test := range []struct{ keys, title, want string }{
		{"", "by IN/S", "[2001:db8::7]:443/tcp 80/tcp 53/udp"},
		{"r", "by IN/S, reversed", "53/udp 80/tcp [2001:db8::7]:443/tcp"},
		{"s", "by IN-BIT/S", "[2001:db8::7]:443/tcp 80/tcp 53/udp"},
		{"sssss", "by DROPS/S", "80/tcp 53/udp [2001:db8::7]:443/tcp"},
		{"s", "by FRONTEND", "80/tcp 53/udp [2001:db8::7]:443/tcp"},
		{"r", "by FRONTEND, reversed", "[2001:db8::7]:443/tcp 53/udp 80/tcp"},
	} {
		press(m, test.keys)
		if got := labels(m); got != test.want || !strings.Contains(screen(m), test.title+"  ") {
			t.Errorf("after %q: %s, want %s %s", test.keys, screen(m), test.title, test.want)
		}
	}
}

func TestFilter(t *testing.T) {
	m := model(t)
	press(m, "/U")
	if labels(m) != "53/udp" || !strings.Contains(screen(m), "\nfilter: U_\n") {
		t.Error(screen(m))
	}
	press(m, "q")
	if m.Done() || !strings.Contains(screen(m), "\nno forward contains that\n") {
		t.Error(screen(m))
	}
	press(m, "<backspace><backspace>tcp<enter>")
	if labels(m) != "[2001:db8::7]:443/tcp 80/tcp" || !strings.Contains(screen(m), `filter "tcp", esc forgets it  q quit`) {
		t.Error(screen(m))
	}
	press(m, "<esc>")
	if labels(m) != "[2001:db8::7]:443/tcp 80/tcp 53/udp" {
		t.Error(screen(m))
	}
}

// selectedRow is the label of the row that looks selected.
func selectedRow(m *Model) string {
	for _, line := range m.View() {
		if line.Style == Selected {
			return strings.Fields(line.Text)[0]
		}
	}
	return "none"
}

// What is selected is a forward and not a place.
func TestSelect(t *testing.T) {
	m := model(t)
	for _, test := range []struct{ keys, want string }{
		{"", "[2001:db8::7]:443/tcp"}, {"j", "80/tcp"}, {"<down>", "53/udp"}, {"j", "53/udp"}, {"k", "80/tcp"}, {"r", "80/tcp"},
		{"<home>", "53/udp"}, {"G", "[2001:db8::7]:443/tcp"}, {"ssssss", "[2001:db8::7]:443/tcp"}, {"<pgup>", "80/tcp"}, {"/udp<enter>", "53/udp"},
	} {
		press(m, test.keys)
		if got := selectedRow(m); got != test.want {
			t.Errorf("after %q %s is selected, want %s", test.keys, got, test.want)
		}
	}
}

// Of more forwards than fit, the selected one is always seen.
func TestScroll(t *testing.T) {
	many := Sample{Sample: figures.Sample{At: noon}}
	for port := 1; port <= 1000; port++ {
		many.Forwards = append(many.Forwards, forward(t, fmt.Sprintf("%d 30080", port), 0, 0)...)
	}
	m := NewModel(time.Second, many)
	m.Resize(80, 24)
	for _, test := range []struct{ keys, first, selected, last string }{
		{"", "1/tcp", "1/tcp", "19/tcp"},
		{strings.Repeat("j", 18), "1/tcp", "19/tcp", "19/tcp"},
		{"j", "2/tcp", "20/tcp", "20/tcp"},
		{"k", "2/tcp", "19/tcp", "20/tcp"},
		{"G", "982/tcp", "1000/tcp", "1000/tcp"},
		{"<pgup>", "981/tcp", "981/tcp", "999/tcp"},
		{"g", "1/tcp", "1/tcp", "19/tcp"},
		{"<pgdn>", "2/tcp", "20/tcp", "20/tcp"},
	} {
		press(m, test.keys)
		lines := strings.Split(screen(m), "\n")
		first, last := strings.Fields(lines[4])[0], strings.Fields(lines[22])[0]
		if first != test.first || last != test.last || selectedRow(m) != test.selected {
			t.Errorf("after %q: %s to %s, selected %s; want %+v", test.keys, first, last, selectedRow(m), test)
		}
	}
	m.Resize(80, 10)
	if selectedRow(m) != "20/tcp" {
		t.Errorf("on a smaller screen %s is selected", selectedRow(m))
	}
}

// withFlows is a sample with flows of a forward.
func withFlows(t *testing.T, second int, of string, count int) Sample {
	s := sample(t, second)
	s.Of = of
	for i := range count {
		s.Flows = append(s.Flows, ctl.Flow{
			Client: ctl.FlowEndpoint{Address: netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), Port: 40000},
			Target: ctl.FlowEndpoint{Address: netip.MustParseAddr("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), Port: 30080},
			State:  ctl.FlowStates()[i%6], Idle: time.Duration(i) * time.Minute,
		})
	}
	return s
}

func TestLookInside(t *testing.T) {
	m := model(t)
	press(m, "j<enter>")
	if m.Inside() != "80/tcp" || !strings.Contains(screen(m), "\nreading flows\n") {
		t.Errorf("inside %q: %s", m.Inside(), screen(m))
	}
	s := withFlows(t, 3, "80/tcp", 3)
	s.Forwards[0].Backends[0].State = ctl.BackendDraining
	s.Forwards[0].Backends[1].Health = ctl.HealthDown
	s.Forwards[0].Check = ctl.Check{Kind: ctl.CheckTCP, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}
	s.Forwards[0].ExpiresAt = time.Date(2030, 12, 31, 23, 59, 0, 0, time.UTC)
	s.Forwards[0].Setup = ctl.SetupTimes{Buckets: map[int]int64{-46: 98, -32: 2}}
	m.Add(s)
	mustShow(t, m, `xfwd top 12:00:03  3 forwards by IN/S  flows 6.6k of 66k (10%)
80/tcp, maglev, source auto, dropped: no-claim 21, check tcp, expires 2030-12-3~
in 1.0k/s 8.0M bit/s  out 500/s 4.0M bit/s  new 100/s  active 100  drops 7/s
connections accepted: half of them within 350µs, 99 % within 3.9ms

BACKEND         WEIGHT STATE     IN/S IN-BIT/S OUT/S OUT-BIT/S NEW/S ACTIVE
10.0.1.100:80        1 down       100     800k    50      400k    10      1
this host:30080      1 drained    900     7.2M   450      3.6M    90      0

CLIENT                        TARGET                        STATE          IDLE
198.51.100.0:40000            [2001:db8:ffff:ffff:ffff:fff~ syn              0s
198.51.100.1:40000            [2001:db8:ffff:ffff:ffff:fff~ established      1m
198.51.100.2:40000            [2001:db8:ffff:ffff:ffff:fff~ closing          2m
…
q quit  esc back  j k scroll  / filter flows  space pause  ? help
`)
	press(m, "/clos<enter>")
	if got := screen(m); strings.Contains(got, "established") || !strings.Contains(got, "198.51.100.2:40000") {
		t.Error(got)
	}
	press(m, "<esc><backspace>")
	if m.Inside() != "" || selectedRow(m) != "80/tcp" {
		t.Error(screen(m))
	}
}

// Of backends there are as many rates as fit, and enough to tell one from another.
func TestRatesOfBackends(t *testing.T) {
	for _, test := range []struct {
		backend     string
		width       int
		titles, row string
	}{
		{"10.0.1.100:80", 80, "BACKEND       WEIGHT STATE     IN/S IN-BIT/S OUT/S OUT-BIT/S NEW/S ACTIVE", "10.0.1.100:80      1 active    1.0k     8.0M   500      4.0M   100      0"},
		{"[2001:db8::1:7]:10080", 80, "BACKEND               WEIGHT STATE     IN/S IN-BIT/S OUT/S OUT-BIT/S ACTIVE", "[2001:db8::1:7]:10080      1 active    1.0k     8.0M   500      4.0M      0"},
		{"[2001:db8::1:7]:10080", 81, "BACKEND               WEIGHT STATE     IN/S IN-BIT/S OUT/S OUT-BIT/S NEW/S ACTIVE", "[2001:db8::1:7]:10080      1 active    1.0k     8.0M   500      4.0M   100      0"},
		{"[2001:db8:1:2:3:4:5:6]:10080", 80, "BACKEND                    WEIGHT STATE     IN/S IN-BIT/S OUT/S OUT-BIT/S ACTIVE", "[2001:db8:1:2:3:4:5:6]:10~      1 active    1.0k     8.0M   500      4.0M      0"},
		{"10.0.1.100:80", 60, "BACKEND       WEIGHT STATE     IN/S OUT/S ACTIVE", "10.0.1.100:80      1 active    1.0k   500      0"},
		{"[2001:db8:1:2:3:4:5:6]:10080", 60, "BACKEND                   WEIGHT STATE     IN/S OUT/S ACTIVE", "[2001:db8:1:2:3:4:5:6]:1~      1 active    1.0k   500      0"},
	} {
		s := func(second int) Sample {
			s := sample(t, second)
			s.Forwards = forward(t, "80 "+test.backend, second, 1000)
			return s
		}
		m := NewModel(time.Second, s(1))
		m.Resize(test.width, 24)
		press(m, "<enter>")
		if got := screen(m); !strings.Contains(got, " active       -") {
			t.Errorf("there are rates of backends after one sample:\n%s", got)
		}
		m.Add(s(2))
		if got := screen(m); !strings.Contains(got, "\n"+test.titles+"\n"+test.row+"\n") {
			t.Errorf("%s on %d columns, want\n%s\n%s\n, got\n%s", test.backend, test.width, test.titles, test.row, got)
		}
	}
}

// One scrolls to the last flow and no further, so that the way back begins at once.
func TestScrollFlows(t *testing.T) {
	m := model(t)
	press(m, "j<enter>")
	m.Add(withFlows(t, 3, "80/tcp", 40))
	press(m, "<end>j")
	if got := screen(m); !strings.Contains(got, "198.51.100.39:") || strings.Contains(got, "198.51.100.25:") || !strings.Contains(got, "198.51.100.26:") {
		t.Error(got)
	}
	accepted := withFlows(t, 3, "80/tcp", 40)
	accepted.Forwards[0].Setup = ctl.SetupTimes{Buckets: map[int]int64{-46: 1}}
	m.Add(accepted)
	press(m, "G")
	if got := screen(m); !strings.Contains(got, "198.51.100.39:") || strings.Contains(got, "198.51.100.26:") || !strings.Contains(got, "198.51.100.27:") {
		t.Error(got)
	}
	press(m, "k")
	if got := screen(m); strings.Contains(got, "198.51.100.39:") || !strings.Contains(got, "198.51.100.38:") {
		t.Error(got)
	}
}

// What goes meanwhile is said to be gone, and what comes is shown.
func TestChangesMeanwhile(t *testing.T) {
	m := model(t)
	press(m, "j<enter>")
	gone := sample(t, 3)
	gone.Forwards = append(gone.Forwards[1:], forward(t, "81 30081", 1, 500)...)
	m.Add(gone)
	if got := screen(m); !strings.Contains(got, "\nthis forward is gone; esc goes back\n") {
		t.Error(got)
	}
	press(m, "<esc>")
	if got := labels(m); got != "[2001:db8::7]:443/tcp 81/tcp 53/udp" || !strings.Contains(screen(m), "\n81/tcp                  500 ") {
		t.Errorf("%s %s", got, screen(m))
	}
	m.Add(Sample{Sample: figures.Sample{At: noon.Add(4 * time.Second)}})
	if got := screen(m); !strings.Contains(got, "\nthe dataplane is not loaded; ") {
		t.Error(got)
	}
	press(m, "j<enter>")
	if m.Inside() != "" {
		t.Errorf("inside %q, which is not there", m.Inside())
	}
	m.Add(sample(t, 5))
	if labels(m) != "[2001:db8::7]:443/tcp 80/tcp 53/udp" {
		t.Error(screen(m))
	}
}

// A reading that fails is said, and what was read before stays.
func TestTrouble(t *testing.T) {
	m := model(t)
	m.Add(Sample{Err: errors.New("no\nmore")})
	if got := screen(m); !strings.Contains(got, "\nerror: no more\n") || !strings.Contains(got, "\n80/tcp ") {
		t.Error(got)
	}
	s := sample(t, 3)
	s.Status.Warnings = []string{"eth1 has no program"}
	m.Add(s)
	if got := screen(m); !strings.Contains(got, "\nwarning: eth1 has no program\n") || strings.Contains(got, "no more") {
		t.Error(got)
	}
	s = sample(t, 4)
	s.Status.Warnings = []string{"eth1 has no program", "eth2 neither"}
	m.Add(s)
	if got := screen(m); !strings.Contains(got, "\n2 warnings, `xfwd status` has all: eth1 has no program\n") {
		t.Error(got)
	}
}

// A sample that comes early, because somebody looks into a forward, is compared with
// what the one before was.
func TestEarlySample(t *testing.T) {
	m := model(t)
	early := sample(t, 2)
	early.At = early.At.Add(time.Millisecond)
	early.Forwards[0].Counters.Forward.Packets += 100
	m.Add(early)
	if rate := m.rated[0].Rates.Forward.Packets; rate < 1000 || rate > 1200 {
		t.Errorf("%v packets a second", rate)
	}
	m.Add(sample(t, 3))
	if rate := m.rated[0].Rates.Forward.Packets; rate != 1000 {
		t.Errorf("%v packets a second", rate)
	}
}

func TestPauseHelpQuit(t *testing.T) {
	m := model(t)
	press(m, "p")
	if !m.Paused() || !strings.Contains(screen(m), "  PAUSED  ") {
		t.Error(screen(m))
	}
	before := screen(m)
	m.Add(sample(t, 3))
	if got := screen(m); got != before {
		t.Errorf("a pause shows\n%s\nand then\n%s", before, got)
	}
	press(m, "<enter>")
	if got := screen(m); !strings.Contains(got, "\npaused; space goes on, and reads flows\n") {
		t.Error(got)
	}
	press(m, "<esc> ")
	m.Add(sample(t, 4))
	if m.Paused() || !strings.HasPrefix(screen(m), "xfwd top 12:00:04  3 forwards") {
		t.Error(screen(m))
	}
	press(m, "?")
	if got := screen(m); !strings.Contains(got, "forget the filter") || strings.Contains(got, "80/tcp") {
		t.Error(got)
	}
	press(m, "q")
	if m.Done() || strings.Contains(screen(m), "forget the filter") {
		t.Error(screen(m))
	}
	press(m, "q")
	if !m.Done() {
		t.Error("q does not leave")
	}
	for _, before := range []string{"", "?", "/x", "<enter>"} {
		m := model(t)
		press(m, before+"<ctrl+c>")
		if !m.Done() {
			t.Errorf("after %q, ctrl-c does not leave", before)
		}
	}
}

// Nothing is wider or longer than the screen, whatever that is and whatever is shown.
func TestEverythingFits(t *testing.T) {
	s := withFlows(t, 2, "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:10000-19999/tcp on eth0,ethernet-device", 30)
	long := forward(t, "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:10000-19999 [2001:db8:ffff:ffff:ffff:ffff:ffff:fffe]:20000-29999", 1, 1<<40)
	long[0].Frontend.Devices = []string{"eth0", "ethernet-device"}
	long[0].Counters.Drops = map[string]uint64{"no-claim": 1 << 60, "no-source-port": 1 << 60}
	long[0].Setup = ctl.SetupTimes{Buckets: map[int]int64{-4: 1}}
	for range 30 {
		long[0].Backends = append(long[0].Backends, long[0].Backends[0])
		long[0].Uses = append(long[0].Uses, ctl.BackendUse{Connections: ctl.Connections{Active: 1 << 60}})
	}
	s.Forwards = append(s.Forwards, long...)
	s.Status.Warnings = []string{strings.Repeat("warn 世界", 30)}
	for _, keys := range []string{"", "?", "/" + strings.Repeat("long", 50), "rrj", "<enter>", "<enter>G", "<enter>/" + strings.Repeat("1", 100) + "<enter>"} {
		m := NewModel(time.Second, sample(t, 1))
		m.Add(s)
		press(m, keys)
		m.Add(s)
		for _, size := range [][2]int{{0, 0}, {1, 1}, {59, 24}, {60, 7}, {60, 8}, {80, 8}, {80, 24}, {81, 25}, {200, 60}} {
			m.Resize(size[0], size[1])
			lines := m.View()
			if len(lines) > size[1] {
				t.Errorf("after %q, %d lines on a screen of %v", keys, len(lines), size)
			}
			for _, line := range lines {
				if n := uniseg.StringWidth(line.Text); n > size[0] {
					t.Errorf("after %q, a line of %d characters on a screen of %v: %s", keys, n, size, line.Text)
				}
			}
		}
	}
}
