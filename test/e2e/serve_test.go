// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// serve answers at every path that it has, in the format that is asked for, and
// nowhere else.
func TestServeAnswers(t *testing.T) {
	t.Parallel()
	lan := lab.New(t).Direct()
	x := lan.Host.XFWD()
	x.Add("80", "30080", "--name", "web")
	s := x.Serve()
	if page := s.MustGet("/"); !strings.Contains(page.Body, `href="metrics"`) {
		t.Errorf("the page does not lead to the metrics:\n%s", page.Body)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := s.MustGet(path).Body; got != "ok\n" {
			t.Errorf("%s: %q", path, got)
		}
	}
	if answer, err := s.Get("/nothing"); err != nil || answer.Status != http.StatusNotFound {
		t.Errorf("/nothing: %v %v", answer.Status, err)
	}
	plain := s.MustGet("/metrics")
	if kind := plain.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("metrics without a wish are %q", kind)
	}
	s.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	open := s.MustGet("/metrics")
	if kind := open.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/openmetrics-text; version=1.0.0") || !strings.HasSuffix(open.Body, "# EOF\n") {
		t.Errorf("OpenMetrics was asked for and %q came", kind)
	}
	s.Header.Set("Accept-Encoding", "gzip")
	s.Header.Del("Accept")
	zipped := s.MustGet("/metrics")
	if text, err := zipped.Unzipped(); err != nil || !strings.Contains(text, "xfwd_up 1\n") {
		t.Errorf("compressed: %v\n%s", err, text)
	}
	post, err := s.Client.Post(s.URL+"/metrics", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	post.Body.Close()
	if post.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /metrics: status %d", post.StatusCode)
	}
}

// What is asked shows what is there at the moment: nothing, what is loaded later, what
// is loaded anew, another layout's, and nothing again; also where the namespace goes.
func TestServeFollowsTheDataplane(t *testing.T) {
	t.Parallel()
	lan := lab.New(t).Direct()
	x := lan.Host.XFWD()
	// It listens elsewhere than in the namespace that it shows.
	socket := filepath.Join(t.TempDir(), "serve.sock")
	s := x.ServeCommand(x.Command("serve", "--listen", "unix:"+socket), lan.Client.Web("unix:"+socket))
	ready := func(status int, why string) {
		t.Helper()
		answer, err := s.Get("/readyz")
		if err != nil || answer.Status != status || !strings.Contains(answer.Body, why) || strings.Count(answer.Body, "\n") != 1 {
			t.Errorf("/readyz: status %d, %v: %s", answer.Status, err, answer.Body)
		}
	}
	for range 2 {
		mustMeasure(t, s, lab.Samples{"xfwd_up": 1, "xfwd_loaded": 0})
		ready(http.StatusServiceUnavailable, "not loaded")
		x.Add("80", "30080")
		mustMeasure(t, s, lab.Samples{"xfwd_up": 1, "xfwd_loaded": 1, "xfwd_forwards": 1})
		ready(http.StatusOK, "ok")
		x.Add("81", "30080")
		mustMeasure(t, s, lab.Samples{"xfwd_forwards": 2})
		x.Do("unload")
	}
	x.Add("80", "30080")
	// Somebody has removed a pin, as good as any damage.
	if err := os.Remove(x.PinOf("maps/counters")); err != nil {
		t.Fatal(err)
	}
	mustMeasure(t, s, lab.Samples{"xfwd_up": 0})
	ready(http.StatusServiceUnavailable, "the pin maps/counters is missing")
	mustReport(t, s, "the pin maps/counters is missing")
	x.Do("unload")
	mustMeasure(t, s, lab.Samples{"xfwd_up": 1, "xfwd_loaded": 0})
	mustReport(t, s, "can be read again")
}

// A namespace may go, and another one get its name: what is shown is what is there by
// that name.
func TestServeFollowsTheName(t *testing.T) {
	t.Parallel()
	lab.Need(t, "ip")
	lan := lab.New(t).Direct()
	passing := lan.Lab.Namespace("passing")
	x := passing.XFWD()
	socket := filepath.Join(t.TempDir(), "serve.sock")
	s := lan.Host.XFWD().ServeCommand(x.Command("serve", "--listen", "unix:"+socket), lan.Host.Web("unix:"+socket))
	for range 2 {
		mustMeasure(t, s, lab.Samples{"xfwd_up": 1, "xfwd_loaded": 0})
		x.Add("80", "30080")
		mustMeasure(t, s, lab.Samples{"xfwd_up": 1, "xfwd_loaded": 1, "xfwd_forwards": 1})
		x.Do("unload")
		lan.Host.Run("ip", "netns", "del", passing.Name)
		mustMeasure(t, s, lab.Samples{"xfwd_up": 0})
		lan.Host.Run("ip", "netns", "add", passing.Name)
	}
}

// mustReport waits until serve has written something to standard error, and fails the test unless it does so once. Serve
// may answer a request before it writes the line.
func mustReport(t *testing.T, s *lab.Serving, what string) {
	t.Helper()
	lab.Eventually(t, lab.Patience, func() error {
		if n := strings.Count(s.Stderr.String(), what); n != 1 {
			return fmt.Errorf("%q is said %d times: %s", what, n, &s.Stderr)
		}
		return nil
	})
}

// mustMeasure fails the test unless a scrape shows these values.
func mustMeasure(t *testing.T, s *lab.Serving, want lab.Samples) {
	t.Helper()
	got := s.Metrics()
	for name, value := range want {
		if have, found := got[name]; !found || have != value {
			t.Errorf("%s is %v (there: %v), want %v", name, have, found, value)
		}
	}
	if want["xfwd_loaded"] == 0 && want["xfwd_forwards"] == 0 {
		for name := range got {
			if strings.HasPrefix(name, "xfwd_forward") {
				t.Errorf("%s is of a dataplane that is not there", name)
			}
		}
	}
}

// A socket has the permissions that were asked for, one that a killed server has left
// is no obstacle, and one of a server that runs is.
func TestServeAtASocket(t *testing.T) {
	t.Parallel()
	lan := lab.New(t).Direct()
	x := lan.Host.XFWD()
	socket := filepath.Join(t.TempDir(), "serve.sock")
	start := func(args ...string) *lab.Serving {
		t.Helper()
		args = append([]string{"serve", "--listen", "unix:" + socket}, args...)
		return x.ServeCommand(x.Command(args...), lan.Host.Web("unix:"+socket))
	}
	permissions := func(want fs.FileMode) {
		t.Helper()
		info, err := os.Stat(socket)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("the socket has mode %v (%v), want %v", info.Mode(), err, want)
		}
	}
	first := start()
	permissions(0o660)
	result := x.Run("serve", "--listen", "unix:"+socket)
	if want := "xfwd: another program listens on unix:" + socket + "; end it, or choose another with --listen\n"; result.Status != 1 || result.Stderr != want {
		t.Errorf("a second server: status %d: %s", result.Status, result.Stderr)
	}
	first.MustGet("/healthz")
	first.Kill()
	second := start("--socket-mode", "0600")
	permissions(0o600)
	mustEnd(t, second)
	if _, err := os.Stat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after it has ended, its socket is there: %v", err)
	}
}

// mustEnd asks a server to end and fails the test unless it does so, well.
func mustEnd(t *testing.T, s *lab.Serving) {
	t.Helper()
	if err := s.Process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v: %s", err, &s.Stderr)
	}
	if said := s.Stderr.String(); said != "" {
		t.Errorf("it said %s", said)
	}
}

// A port that another program has, is refused in one line.
func TestServeAddressInUse(t *testing.T) {
	t.Parallel()
	lan := lab.New(t).Direct()
	x := lan.Host.XFWD()
	x.Serve()
	result := lan.Host.Start(x.Binary(), "--root", x.Root, "serve", "--listen", ":9980")
	err := result.Wait()
	if want := "xfwd: another program listens on :9980; end it, or choose another with --listen\n"; result.ProcessState.ExitCode() != 1 || result.Stderr.String() != want {
		t.Errorf("%v: %s", err, &result.Stderr)
	}
}

// With a file for that, it speaks TLS, and to those alone who know a password.
func TestServeWithTLSAndPassword(t *testing.T) {
	t.Parallel()
	lan := lab.New(t).Direct()
	x := lan.Host.XFWD()
	x.Add("80", "30080")
	dir := t.TempDir()
	certificate := selfSigned(t, dir)
	write(t, filepath.Join(dir, "web.yaml"), `tls_server_config:
  cert_file: cert.pem
  key_file: key.pem
basic_auth_users:
  prometheus: `+passwordHash+"\n")
	write(t, filepath.Join(dir, "serve.yaml"), fmt.Sprintf("listen: ':9980'\nweb-config: %s\nnetns: %s\nroot: %s\n", filepath.Join(dir, "web.yaml"), lan.Host.Name, x.Root))
	web := lan.Host.Web(":9980")
	web.URL = strings.Replace(web.URL, "http:", "https:", 1)
	web.Client.Transport.(*http.Transport).TLSClientConfig = certificate
	command := x.Command()
	command.Args = []string{x.Binary(), "serve", "--config", filepath.Join(dir, "serve.yaml")}
	s := x.ServeCommand(command, web)
	if answer, err := s.Get("/metrics"); err != nil || answer.Status != http.StatusUnauthorized {
		t.Errorf("without a password: %v, %v", answer.Status, err)
	}
	s.Header.Set("Authorization", basic("prometheus", "secret"))
	mustMeasure(t, s, lab.Samples{"xfwd_forwards": 1})
	s.Header.Set("Authorization", basic("prometheus", "guess"))
	if answer, err := s.Get("/metrics"); err != nil || answer.Status != http.StatusUnauthorized {
		t.Errorf("with a wrong password: %v, %v", answer.Status, err)
	}
	plain, err := lan.Host.Web(":9980").Get("/metrics")
	if err == nil && plain.Status == http.StatusOK {
		t.Error("it answers without TLS, too")
	}
}

// systemd is told when it serves, that it lives as often as it wants to know, and that
// it ends.
func TestServeNotifies(t *testing.T) {
	t.Parallel()
	lan := lab.New(t).Direct()
	x := lan.Host.XFWD()
	path := filepath.Join(t.TempDir(), "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	hear := func(want string) {
		t.Helper()
		message := make([]byte, 1000)
		notify.SetReadDeadline(time.Now().Add(10 * lab.Patience))
		n, err := notify.Read(message)
		if got := string(message[:n]); err != nil || got != want {
			t.Fatalf("systemd was told %q (%v), want %q", got, err, want)
		}
	}
	command := x.Command("serve", "--listen", ":9980")
	command.Env = append(os.Environ(), "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=400000")
	s := x.ServeCommand(command, lan.Host.Web(":9980"))
	hear("READY=1")
	started := time.Now()
	for range 5 {
		hear("WATCHDOG=1")
	}
	if took := time.Since(started); took < 500*time.Millisecond {
		t.Errorf("five signs of life within %v", took)
	}
	mustEnd(t, s)
	for {
		message := make([]byte, 1000)
		notify.SetReadDeadline(time.Now().Add(lab.Patience))
		n, err := notify.Read(message)
		if err != nil {
			t.Fatalf("systemd was not told that it ends: %v", err)
		}
		if string(message[:n]) == "STOPPING=1" {
			break
		}
	}
}

// Idle, it takes less than a hundredth of a processor, and little memory.
func TestServeIsIdle(t *testing.T) {
	t.Parallel()
	lan := lab.New(t).Direct()
	x := lan.Host.XFWD()
	x.Add("80", "30080")
	s := x.Serve()
	for range 5 {
		s.Metrics()
	}
	before := s.Metrics()
	const idle = 5 * time.Second
	time.Sleep(idle)
	after := s.Metrics()
	// The first of the two scrapes is a part of it.
	cpu := after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
	if cpu > 0.01*idle.Seconds()+0.05 {
		t.Errorf("%.3f s of processor time in %v", cpu, idle)
	}
	memory := after["process_resident_memory_bytes"]
	if memory > 64<<20 {
		t.Errorf("%.0f bytes of memory", memory)
	}
	t.Logf("%.3f s of processor time in %v, %.1f MiB of memory", cpu, idle, memory/(1<<20))
}

// What its unit leaves it of root's privileges is enough: to attach to a device that
// comes and to check a backend, and with --read-only less, on file systems that cannot be written to.
func TestServeWithThePrivilegesOfItsUnit(t *testing.T) {
	t.Parallel()
	lab.Need(t, "setpriv", "unshare")
	unit, err := os.ReadFile("../../deploy/systemd/xfwd-serve.service")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(unit), "\nCapabilityBoundingSet=")
	ofUnit, _, _ := strings.Cut(rest, "\n")
	for name, c := range map[string]struct{ capabilities, directories, flag string }{
		"as it comes": {ofUnit, "/sys/fs/cgroup", "--read-only=false"},
		"read-only":   {"CAP_BPF", "/sys/fs/cgroup /sys/fs/bpf", "--read-only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := "-all"
			for capability := range strings.FieldsSeq(c.capabilities) {
				set += ",+" + strings.ToLower(strings.TrimPrefix(capability, "CAP_"))
			}
			l := lab.New(t)
			lan := l.Direct()
			x := lan.Host.XFWD()
			lan.Host.Echo("tcp", ":30080")
			x.Add("80", "30080", "--check", "tcp,"+often)
			const script = `
				for dir in $4; do
					mount --bind $dir $dir && mount -o remount,bind,ro $dir || exit
				done
				exec setpriv --bounding-set="$1" --inh-caps="$1" "$2" --root "$3" serve --listen :9980 $5`
			s := x.ServeCommand(exec.Command("unshare", "--mount", "sh", "-c", script, "sh", set, x.Binary(), x.Root, c.directories, c.flag), lan.Host.Web(":9980"))
			for _, path := range []string{"/", "/api/v1/state", "/api/v1/status"} {
				s.MustGet(path)
			}
			got := s.Metrics()
			for _, name := range []string{
				"xfwd_up", "xfwd_loaded", "xfwd_forwards",
				`xfwd_hook_attached{device="eth0",hook="ingress",mode="` + modeOf(t, x.Status(), "eth0", "ingress") + `"}`,
			} {
				if got[name] != 1 {
					t.Errorf("%s is %v", name, got[name])
				}
			}
			l.Veth(lan.Host, "late", lan.Client, "late", 1500)
			if c.flag == "--read-only" {
				if _, counted := s.Metrics()["xfwd_next_hops_ended_total"]; counted {
					t.Error("it watches the host")
				}
				return
			}
			mustAttach(t, x, "late")
			lab.Eventually(t, 5*lab.Patience, func() error {
				if health := x.List()[0].Backends[0].Health; health != "up" {
					return fmt.Errorf("the backend is %q", health)
				}
				return nil
			})
			if stderr := s.Stderr.String(); strings.Contains(stderr, "warning") {
				t.Error(stderr)
			}
		})
	}
}
