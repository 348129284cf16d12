// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/xfwd/xfwd/test/lab"
)

// topTest is a terminal in which xfwd top is to run, and two forwards: much is sent to
// port 81, something to port 80.
type topTest struct {
	*lab.Network
	*lab.Terminal
	t     *testing.T
	xfwd  *lab.XFWD
	conns map[string]*lab.Conn
}

func newTopTest(t *testing.T) *topTest {
	t.Helper()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	x.Add("80/udp", "30080")
	x.Add("81/udp", "30080", "30081", "--name", "busy")
	net.Host.Echo("udp", ":30080")
	net.Host.Echo("udp", ":30081")
	conns := map[string]*lab.Conn{}
	for port, wait := range map[uint16]time.Duration{80: 20 * time.Millisecond, 81: time.Millisecond} {
		conn := net.Client.MustConnect("udp", at(net.HostAddr.V4, port))
		conns[fmt.Sprint(port)] = conn
		stop, stopped := make(chan bool), make(chan bool)
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				case <-time.After(wait):
				}
				conn.Echo([]byte("hello")) // where nothing is loaded, it fails
			}
		}()
		t.Cleanup(func() {
			close(stop)
			conn.Close()
			<-stopped
		})
	}
	return &topTest{net, net.Lab.Terminal(80, 24), t, x, conns}
}

// run writes a command line that ends with the exit status.
func (f *topTest) run(environment string, args ...string) {
	f.t.Helper()
	f.Run(environment + " " + strings.Join(f.xfwd.Command(args...).Args, " ") + `; echo "status: $?"`)
}

// listed are the frontends of the list on a screen, in order; nil if that is another one.
func listed(screen string) []string {
	var all []string
	for _, line := range strings.Split(screen, "\n") {
		if frontend, _, found := strings.Cut(line, "/udp "); found && frontend != "" {
			all = append(all, frontend)
		}
	}
	return all
}

// awaitOrder waits until the list has these frontends, in this order.
func (f *topTest) awaitOrder(want ...string) string {
	f.t.Helper()
	return f.Await(fmt.Sprintf("the frontends %v", want), func(screen string) bool {
		return strings.Contains(screen, "FRONTEND") && fmt.Sprint(listed(screen)) == fmt.Sprint(want)
	})
}

func (f *topTest) awaitText(want string) string {
	f.t.Helper()
	return f.Await(fmt.Sprintf("%q", want), func(screen string) bool { return strings.Contains(screen, want) })
}

// packets is what the list says of the packets of a frontend; -1 if it does not.
func packets(screen, frontend string) float64 {
	for _, line := range strings.Split(screen, "\n") {
		var number float64
		var unit string
		// There may be a name behind the frontend.
		if fields := strings.Fields(line); len(fields) > 7 && fields[0] == frontend {
			if n, _ := fmt.Sscanf(fields[len(fields)-7], "%g%s", &number, &unit); n > 0 {
				return number * map[string]float64{"": 1, "k": 1e3, "M": 1e6}[unit]
			}
		}
	}
	return -1
}

// xfwd top shows traffic as it is, and what becomes of the forwards meanwhile.
func TestTop(t *testing.T) {
	t.Parallel()
	f := newTopTest(t)
	f.Run("echo before")
	f.run("", "top", "--interval", "500ms")
	screen := f.Await("rates", func(screen string) bool {
		return packets(screen, "81/udp") > 10 && packets(screen, "80/udp") > 0
	})
	if slow, fast := packets(screen, "80/udp"), packets(screen, "81/udp"); slow >= fast {
		t.Errorf("%v packets of the slow client, %v of the fast one", slow, fast)
	}
	if strings.Contains(screen, "before") {
		t.Error("what the shell has shown is still there")
	}

	// Sorted, reversed, filtered.
	f.awaitOrder("81", "80")
	f.Press("r")
	f.awaitOrder("80", "81")
	f.Press("r")
	f.awaitOrder("81", "80")
	for range 7 {
		f.Press("s")
	}
	f.awaitText("by FRONTEND")
	f.awaitOrder("80", "81")
	f.Press("/", "B", "U", "S")
	f.awaitOrder("81")
	f.Press("Enter")
	f.awaitText(`filter "BUS"`)
	f.Press("Escape")
	f.awaitOrder("80", "81")

	// What is inside.
	f.Press("j", "Enter")
	conn := f.conns["81"]
	f.Await("a flow", func(screen string) bool {
		backends, flows, _ := strings.Cut(screen, "CLIENT ")
		return strings.Contains(backends, "81/udp busy, maglev") && strings.Contains(backends, "this host:30080") && strings.Contains(backends, "this host:30081") &&
			strings.Contains(flows, conn.Local().String()+" ") && strings.Contains(flows, fmt.Sprintf(" %v:%d ", f.HostAddr.V4, conn.Server.Port())) &&
			strings.Contains(flows, "two-way")
	})
	f.Press("Escape")
	f.awaitOrder("80", "81")

	// What is not wanted to move does not.
	f.Press("Space")
	paused := f.awaitText("PAUSED")
	f.xfwd.Add("82/udp", "30080")
	for range 20 {
		if now := f.Screen(); now != paused {
			t.Fatalf("a pause shows\n%s\nand then\n%s", paused, now)
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.Press("Space")
	f.awaitOrder("80", "81", "82")
	f.xfwd.Do("del", "80/udp")
	f.awaitOrder("81", "82")
	f.xfwd.Do("unload")
	f.awaitText("the dataplane is not loaded")
	f.xfwd.Add("83/udp", "30080")
	f.awaitOrder("83")

	f.Press("q")
	f.mustBeRestored("status: 0")
}

// mustBeRestored waits until the shell has its screen back, on which a command has
// ended with a text.
func (f *topTest) mustBeRestored(want string) {
	f.t.Helper()
	f.Await("the shell's screen", func(screen string) bool {
		return strings.Contains(screen, "before\n") && strings.Contains(screen, want+"\n$") && !strings.Contains(screen, "FRONTEND")
	})
	// It writes and reads lines as before.
	f.Run("echo after; stty -a | grep -o ' -*echo '")
	f.awaitText("\nafter\n echo\n")
}

// The screen is as large as the terminal, and what is too wide for it is cut off.
func TestTopFitsTheTerminal(t *testing.T) {
	t.Parallel()
	f := newTopTest(t)
	f.xfwd.Add(frontend(f.HostAddr.V6, "10000-19999"), "30000-39999", "--device", "eth0", "--name", "wide")
	f.Run("echo before")
	f.run("", "top")
	for _, size := range [][2]int{{80, 24}, {132, 43}, {60, 10}, {80, 24}} {
		f.Resize(size[0], size[1])
		screen := f.Await(fmt.Sprintf("%d lines", size[1]), func(screen string) bool {
			lines := strings.Split(strings.TrimSuffix(screen, "\n"), "\n")
			return len(lines) == size[1] && strings.HasPrefix(lines[size[1]-1], "q quit  enter look into") && strings.Contains(screen, " DROPS/S\n") &&
				strings.Count(screen, "/udp ") == 2
		})
		for _, line := range strings.Split(screen, "\n") {
			if n := utf8.RuneCountInString(line); n > size[0] {
				t.Errorf("of %d characters, a line has %d: %s", size[0], n, line)
			}
		}
		if wide := strings.Contains(screen, frontend(f.HostAddr.V6, "10000-19999/tcp on eth0 ")); wide != (size[0] > 100) {
			t.Errorf("with %d columns, the whole frontend is shown: %v\n%s", size[0], wide, screen)
		}
	}
	f.Resize(40, 5)
	f.awaitText("this terminal is smaller than 60x8")
	f.Resize(80, 24)
	f.awaitText("q quit")
	f.Press("C-c")
	f.mustBeRestored("status: 0")
}

// Whoever ends it leaves no trace on the terminal, and one that nothing can be drawn
// on is refused.
func TestTopAndTerminals(t *testing.T) {
	t.Parallel()
	f := newTopTest(t)
	f.Run("echo before")
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		f.run("", "top")
		f.awaitText("q quit")
		if err := syscall.Kill(f.Child(), signal); err != nil {
			t.Fatal(err)
		}
		f.mustBeRestored("status: 0")
		f.Run("clear; echo before")
		f.Await("a new screen", func(screen string) bool { return strings.HasPrefix(screen, "before\n$\n\n") })
	}
	f.run("", "top")
	f.awaitText("q quit")
	f.Press("C-z")
	f.Await("the shell's screen", func(screen string) bool {
		return strings.Contains(screen, "Stopped") && !strings.Contains(screen, "FRONTEND")
	})
	f.Run("fg")
	f.awaitText("q quit")
	f.Press("q")
	f.Await("the shell's screen", func(screen string) bool { return strings.Contains(screen, "Stopped") })
	f.Run(`echo "status: $?"`)
	f.mustBeRestored("status: 0")

	// Whoever looks into a forward need not wait for the next reading.
	f.run("", "top", "--interval", "1h")
	f.awaitText("q quit")
	f.Press("Enter")
	f.awaitText("two-way")
	f.Press("q")
	f.mustBeRestored("status: 0")

	f.run("TERM=dumb", "top")
	const refusal = "xfwd: top takes a terminal that it can draw on; `xfwd stats --watch` shows rates line by line\n"
	f.Await("a refusal", func(screen string) bool {
		return strings.Contains(strings.ReplaceAll(screen, "\n", ""), strings.ReplaceAll(refusal, "\n", "")+"status: 1")
	})
	f.run("TERM=nonesuch", "top")
	f.Await("a refusal", func(screen string) bool {
		all := strings.ReplaceAll(screen, "\n", "")
		return strings.Contains(all, "cannot draw on this terminal") && strings.HasSuffix(all, "line by linestatus: 1$")
	})
	if got := f.xfwd.Run("top"); got.Status != 1 || got.Stdout != "" || got.Stderr != refusal {
		t.Errorf("without a terminal: %+v", got)
	}
}

// To watch a thousand forwards takes a small part of a processor.
func TestTopWithAThousandForwards(t *testing.T) {
	t.Parallel()
	f := newTopTest(t)
	var file strings.Builder
	file.WriteString("apiVersion: xfwd/v1\nforwards:\n")
	const many, samples = 1000, 6
	for port := range many {
		fmt.Fprintf(&file, "  - {frontend: %d, backends: [%d, 30080]}\n", 1000+port, 20000+port)
	}
	path := filepath.Join(t.TempDir(), "forwards.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	f.xfwd.Do("apply", "-f", path)
	f.run("", "top")
	f.awaitText(fmt.Sprintf("%d forwards", many+2))
	pid := f.Child()
	began, before := time.Now(), timeUsedBy(t, pid)
	for shown, n := "", 0; n < samples; n++ {
		f.Await("another time", func(screen string) bool {
			now, _, _ := strings.Cut(screen, "  ")
			another := now != shown
			shown = now
			return another
		})
	}
	took, used := time.Since(began), timeUsedBy(t, pid)-before
	t.Logf("%v of processor time in %v", used, took.Round(time.Millisecond))
	if used > took/3 {
		t.Errorf("in %v, %v of processor time", took, used)
	}
	f.Press("q")
	f.awaitText("status: 0")
}

// timeUsedBy is what a process has used.
func timeUsedBy(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// Behind the name, which may have any characters: 11 fields, then those of the user
	// and the system in hundredths of a second.
	_, behind, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(behind)
	var user, system int
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
