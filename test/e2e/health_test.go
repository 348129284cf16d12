// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// often is how often checks of tests are made; two successes count, and four failures: a
// machine that has other things to do may well keep a server from answering in time once.
const (
	often      = "interval=300ms,rise=2,fall=4"
	atTheMost  = 4 * 330 * time.Millisecond // it takes four intervals to count four
	checkSlack = 2 * time.Second            // of such a machine
)

// healths are those of the backends of a forward, by where they are.
func healths(t *testing.T, x *lab.XFWD, protocol string) map[netip.AddrPort]lab.Backend {
	t.Helper()
	all := make(map[netip.AddrPort]lab.Backend)
	for _, f := range x.List() {
		if f.Frontend.Protocol != protocol {
			continue
		}
		for _, b := range f.Backends {
			address, _ := netip.ParseAddr(b.Address)
			all[at(address, b.Port)] = b
		}
	}
	return all
}

// awaitHealth waits until backends of each protocol are as healthy as they should be.
func (f *fleet) awaitHealth(t *testing.T, patience time.Duration, health string, which ...int) {
	t.Helper()
	lab.Eventually(t, patience, func() error {
		for _, network := range networks {
			known := healths(t, f.xfwd, network)
			for _, i := range which {
				for _, addr := range f.pods[i].Addr.All() {
					if b, found := known[at(addr, fleetPort)]; found && b.Health != health {
						return fmt.Errorf("%s: %v is %q, want %q", network, addr, b.Health, health)
					}
				}
			}
		}
		return nil
	})
}

// startEcho serves echo in a process of its own, which can be killed.
func (f *fleet) startEcho(t *testing.T, i int) *lab.Process {
	t.Helper()
	return f.pods[i].StartCommand(itself(echoServer, strings.Join(f.backends("", i), " ")))
}

// mustHave opens flows, and fails the test unless they have just these backends, some
// each.
func (f *fleet) mustHave(t *testing.T, which ...int) {
	t.Helper()
	for _, network := range networks {
		for _, host := range f.HostAddr.All() {
			got := f.open(t, network, at(host, 80), 8)
			for i := range f.pods {
				wanted := false
				for _, w := range which {
					wanted = wanted || w == i
				}
				if (len(got[i]) > 0) != wanted {
					t.Errorf("%s to %v: backend %d has %d of 8 new flows, want just %v to have any", network, host, i, len(got[i]), which)
				}
			}
		}
	}
}

// A backend whose server is killed is down within as many intervals as its check allows
// for, and from then on no client meets it; when the server runs again, it gets new flows.
// Without any left, clients are refused at once.
func TestHealthOfKilledServers(t *testing.T) {
	t.Parallel()
	f := newSilentFleet(t, 2)
	servers := []*lab.Process{f.startEcho(t, 0), f.startEcho(t, 1)}
	f.publish(t, "80/tcp+udp", f.all(), "--balance", "round-robin", "--check", "tcp,"+often)
	s := f.xfwd.Serve()
	f.awaitHealth(t, 5*lab.Patience, "up", 0, 1)
	f.mustHave(t, 0, 1)

	killed := time.Now()
	servers[0].Kill()
	f.awaitHealth(t, 5*lab.Patience, "down", 0)
	if took := time.Since(killed); took > atTheMost+checkSlack {
		t.Errorf("it took %v until the backend was down", took)
	}
	for range 5 {
		f.mustHave(t, 1)
	}
	f.awaitShown(t, "80/tcp", f.backends("", 0)[0], "down")
	if listed := f.xfwd.Do("list", "-o", "wide").Stdout; !strings.Contains(listed, f.backends("", 0)[1]+" (down)") {
		t.Errorf("list does not say what is down:\n%s", listed)
	}
	mustReport(t, s, "warning: "+f.backends("", 0)[0]+" of 80/tcp is down: connection refused\n")
	metrics := s.Metrics()
	series := func(i int) string {
		return fmt.Sprintf(`xfwd_backend_up{backend="%s",forward="80/tcp",frontend="80/tcp",protocol="tcp"}`, f.backends("", i)[0])
	}
	for i, want := range []float64{0, 1} {
		if got, found := metrics[series(i)]; !found || got != want {
			t.Errorf("%s is %v (there: %v), want %v", series(i), got, found, want)
		}
	}
	for _, result := range []string{"success", "failure"} {
		if metrics[`xfwd_checks_total{result="`+result+`"}`] == 0 {
			t.Errorf("no check with %s is counted", result)
		}
	}

	servers[1].Kill()
	f.awaitHealth(t, 5*lab.Patience, "down", 0, 1)
	for _, network := range networks {
		for _, host := range f.HostAddr.All() {
			mustRefuse(t, f.Client, network, at(host, 80))
		}
	}
	for i := range servers {
		servers[i] = f.startEcho(t, i)
	}
	f.awaitHealth(t, 5*lab.Patience, "up", 0, 1)
	f.mustHave(t, 0, 1)
	mustReport(t, s, "note: "+f.backends("", 0)[0]+" of 80/tcp is up again\n")
	mustBeFine(t, f.xfwd)
}

// switches are listeners of backends, which say whether they are alive.
type switches struct {
	fleet     *fleet
	listeners [][]net.Listener
	// accepted counts connections.
	accepted atomic.Int64
}

// switchPort is where checks look.
const switchPort = 9000

func (f *fleet) switches() *switches {
	return &switches{fleet: f, listeners: make([][]net.Listener, len(f.pods))}
}

// on listens for a backend until off, or the end of the test.
func (s *switches) on(t *testing.T, i int) {
	t.Helper()
	pod := s.fleet.pods[i]
	pod.Do(func() {
		for _, addr := range pod.Addr.All() {
			l, err := net.Listen("tcp", at(addr, switchPort).String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			s.listeners[i] = append(s.listeners[i], l)
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					s.accepted.Add(1)
					conn.Close()
				}
			}()
		}
	})
}

func (s *switches) off(i int) {
	for _, l := range s.listeners[i] {
		l.Close()
	}
	s.listeners[i] = nil
}

// Connections of a backend that is down live on, and what its user wants of it stays: also
// when that changes, or the forward is added again, while it is down. Of a forward that has
// no check any more, nothing is known.
func TestHealthLeavesTheRest(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	alive := f.switches()
	for i := range f.pods {
		alive.on(t, i)
	}
	check := fmt.Sprintf("tcp,port=%d,%s", switchPort, often)
	words := []string{"--balance", "round-robin", "--check", check}
	f.publish(t, "80/tcp+udp", f.all(), words...)
	f.xfwd.Serve()
	f.awaitHealth(t, 5*lab.Patience, "up", 0, 1, 2)
	load, _ := f.talkToAll(t, 80)
	alive.off(0)
	f.awaitHealth(t, 5*lab.Patience, "down", 0)
	f.mustHave(t, 1, 2)
	mustGoOn(t, load.conns, soon)

	f.change(t, "drain", "80/tcp+udp", f.backends("", 0)...)
	f.change(t, "set", "80/tcp+udp", f.backends(",weight=3", 1)...)
	f.awaitHealth(t, 0, "down", 0)
	f.awaitHealth(t, 0, "up", 1)
	f.mustHave(t, 1, 2)
	alive.on(t, 0)
	f.awaitHealth(t, 5*lab.Patience, "up", 0)
	for _, network := range networks {
		for where, b := range healths(t, f.xfwd, network) {
			if drains := f.index(t, where.Addr()) == 0; (b.State == "draining") != drains {
				t.Errorf("%s: %v is %s", network, where, b.State)
			}
		}
	}
	f.mustHave(t, 1, 2)
	f.change(t, "set", "80/tcp+udp", f.backends("", 0)...)
	f.change(t, "set", "80/tcp+udp", f.backends(",weight=1", 1)...)
	f.mustHave(t, 0, 1, 2)

	alive.off(2)
	f.awaitHealth(t, 5*lab.Patience, "down", 2)
	again := f.xfwd.Add(append(append([]string{"80/tcp+udp"}, f.all()...), words...)...)
	if strings.Contains(again.Stdout, "changed") || !strings.Contains(again.Stdout, "already there") {
		t.Errorf("what is there is added again: %s", again.Stdout)
	}
	mustGoOn(t, load.conns, soon)
	// From here on it is another forward, to which flows of UDP move.
	f.publish(t, "80/tcp+udp", f.all(), append(words, "--replace", "--comment", "another")...)
	f.awaitHealth(t, 0, "down", 2)
	f.mustHave(t, 0, 1)
	unchecked := f.xfwd.Add(append(append([]string{"80/tcp+udp"}, f.all()...), "--balance", "round-robin", "--comment", "another")...)
	if want := "changed 80/tcp: no check\nchanged 80/udp: no check\n"; unchecked.Stdout != want {
		t.Errorf("without a check: %q, want %q", unchecked.Stdout, want)
	}
	f.awaitHealth(t, 0, "", 0, 1, 2)
	f.mustHave(t, 0, 1, 2)
}

// serve is killed while a backend is down: that stays so, and traffic goes on. Another one
// picks up what is there: the backend is up again when it answers.
func TestHealthOutlivesServe(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	alive := f.switches()
	alive.on(t, 0)
	alive.on(t, 1)
	f.publish(t, "80/tcp+udp", f.all(), "--balance", "round-robin", "--check", fmt.Sprintf("tcp,port=%d,%s", switchPort, often))
	s := f.xfwd.Serve()
	f.awaitHealth(t, 5*lab.Patience, "up", 0, 1)
	load, _ := f.talkToAll(t, 80)
	alive.off(0)
	f.awaitHealth(t, 5*lab.Patience, "down", 0)
	s.Kill()
	alive.on(t, 0)
	before := alive.accepted.Load()
	time.Sleep(2 * atTheMost)
	f.awaitHealth(t, 0, "down", 0)
	if more := alive.accepted.Load() - before; more != 0 {
		t.Errorf("nobody checks, and %d connections came", more)
	}
	f.mustHave(t, 1)
	mustGoOn(t, load.conns, soon)
	alive.off(0)
	s = f.xfwd.Serve()
	time.Sleep(2 * atTheMost)
	f.awaitHealth(t, 0, "down", 0)
	if said := s.Stderr.String(); strings.Contains(said, "down") {
		t.Errorf("what was down is told as news: %s", said)
	}
	alive.on(t, 0)
	f.awaitHealth(t, 5*lab.Patience, "up", 0)
	f.mustHave(t, 0, 1)
	// Ended in peace, it changes as little.
	if err := s.Process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v: %s", err, &s.Stderr)
	}
	f.awaitHealth(t, 0, "up", 0, 1)
	f.mustHave(t, 0, 1)
}

// With --read-only nobody is asked.
func TestHealthIsNotCheckedReadOnly(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	alive := f.switches()
	alive.on(t, 0)
	f.publish(t, "80/tcp+udp", f.all(), "--check", fmt.Sprintf("tcp,port=%d,%s", switchPort, often))
	s := f.xfwd.Serve("--read-only")
	time.Sleep(3 * time.Second)
	f.awaitHealth(t, 0, "", 0, 1)
	if n := alive.accepted.Load(); n != 0 {
		t.Errorf("%d connections came", n)
	}
	if _, counted := s.Metrics()[`xfwd_checks_total{result="success"}`]; counted {
		t.Error("it counts checks")
	}
}

// A server that answers by an error is down, though it accepts connections.
func TestHealthByHTTP(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	var status atomic.Int64
	status.Store(http.StatusOK)
	for i, pod := range f.pods {
		for _, addr := range pod.Addr.All() {
			var listener net.Listener
			pod.Do(func() {
				var err error
				if listener, err = net.Listen("tcp", at(addr, switchPort).String()); err != nil {
					t.Fatal(err)
				}
			})
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if i == 0 && r.URL.Path == "/healthz" {
					w.WriteHeader(int(status.Load()))
				}
			})}
			t.Cleanup(func() { server.Close() })
			go server.Serve(listener)
		}
	}
	f.publish(t, "80/tcp+udp", f.all(), "--balance", "round-robin", "--check", fmt.Sprintf("http,path=/healthz,port=%d,%s", switchPort, often))
	s := f.xfwd.Serve()
	f.awaitHealth(t, 5*lab.Patience, "up", 0, 1)
	f.mustHave(t, 0, 1)
	status.Store(http.StatusInternalServerError)
	f.awaitHealth(t, 5*lab.Patience, "down", 0)
	f.mustHave(t, 1)
	mustReport(t, s, "warning: "+f.backends("", 0)[1]+" of 80/udp is down: status 500\n")
	status.Store(http.StatusFound)
	f.awaitHealth(t, 5*lab.Patience, "up", 0)
	f.mustHave(t, 0, 1)
}

// Over UDP an ICMP error is what tells: of the machine that nobody listens, and of the
// kernel that there is no machine.
func TestHealthByUDP(t *testing.T) {
	t.Parallel()
	f := newSilentFleet(t, 2)
	f.startEcho(t, 1)
	server := f.startEcho(t, 0)
	gone := []string{"198.18.100.77:8080", "[2001:db8:64::77]:8080"}
	f.publish(t, "80/udp", append(f.all(), gone...), "--balance", "round-robin", "--check", "udp,timeout=100ms,"+often)
	s := f.xfwd.Serve()
	f.awaitHealth(t, 5*lab.Patience, "up", 0, 1)
	for _, gone := range gone {
		lab.Eventually(t, 10*lab.Patience, func() error {
			if b := healths(t, f.xfwd, "udp")[netip.MustParseAddrPort(gone)]; b.Health != "down" {
				return fmt.Errorf("%s, where no machine is, is %q", gone, b.Health)
			}
			return nil
		})
		mustReport(t, s, "warning: "+gone+" of 80/udp is down: no route to host\n")
	}
	server.Kill()
	f.awaitHealth(t, 5*lab.Patience, "down", 0)
	for _, host := range f.HostAddr.All() {
		if got := f.open(t, "udp", at(host, 80), 8); len(got[1]) != 8 {
			t.Errorf("the only backend that is up has %d of 8 flows", len(got[1]))
		}
	}
	f.startEcho(t, 0)
	f.awaitHealth(t, 5*lab.Patience, "up", 0)
}

// Backends of the host itself are looked for where clients meet them: processes that
// listen on all addresses, or on one, and what netfilter translates. serve is in another
// network namespace meanwhile.
func TestHealthOfThisHost(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	l := lab.New(t)
	lan := l.Direct()
	pods := lan.Pods(2, 1500)
	nodePort(lan, pods, 30090, fleetPort)
	for _, pod := range pods {
		pod.Echo("tcp", fmt.Sprintf(":%d", fleetPort))
	}
	lan.Host.Echo("tcp", ":30080")
	lan.Host.Echo("tcp", at(lan.HostAddr.V6, 30081).String())
	lan.Host.Echo("tcp", "127.0.0.1:30082")
	x := lan.Host.XFWD()
	x.Add("80", "30080", "30089", "--check", "tcp,"+often)
	x.Add("81", "30081", "--check", "tcp,"+often)
	x.Add("127.0.0.1:82", "30082", "--check", "tcp,"+often)
	x.Add(frontend(lan.HostAddr.V4, "83"), "30082", "--check", "tcp,"+often)
	x.Add("84", "30090", "--check", "tcp,"+often)
	x.Add(frontend(lan.VIP.V4, "85"), "30090", "--check", "tcp,"+often)
	socket := filepath.Join(t.TempDir(), "serve.sock")
	elsewhere := l.Namespace("elsewhere")
	elsewhere.XFWD().ServeCommand(x.Command("serve", "--listen", "unix:"+socket), elsewhere.Web("unix:"+socket))
	want := map[string]string{"80 30080": "up", "80 30089": "down", "81 30081": "up", "82 30082": "up", "83 30082": "down", "84 30090": "up", "85 30090": "up"}
	lab.Eventually(t, 5*lab.Patience, func() error {
		for _, f := range x.List() {
			for _, b := range f.Backends {
				name := fmt.Sprintf("%d %d", f.Frontend.Port, b.Port)
				if b.Health != want[name] {
					return fmt.Errorf("%s is %q, want %q", name, b.Health, want[name])
				}
			}
		}
		return nil
	})
	for range 8 {
		mustEcho(t, lan.Client.MustConnect("tcp", at(lan.HostAddr.V4, 80)))
	}
}
