// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

// slow is a dataplane that another command has for itself: who asks waits until it is
// free, once for each value.
type slow struct {
	asked, free chan struct{}
}

func newSlow() slow {
	return slow{asked: make(chan struct{}, 8), free: make(chan struct{})}
}

func (s slow) wait(ctx context.Context) error {
	s.asked <- struct{}{}
	select {
	case <-s.free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s slow) Measure(ctx context.Context) (ctl.Measurement, error) {
	return ctl.Measurement{Loaded: true}, s.wait(ctx)
}

func (s slow) Loaded(ctx context.Context) (bool, error) { return true, s.wait(ctx) }
func (s slow) Close() error                             { return nil }

func (s slow) Status(ctx context.Context) (ctl.Status, error) { return ctl.Status{}, s.wait(ctx) }

func (s slow) Sweep(context.Context) (ctl.Swept, error) { return ctl.Swept{}, nil }

func (s slow) Expire(context.Context) ([]ctl.Forward, error) { return nil, nil }

func (s slow) Checked(context.Context, ctl.Revision) ([]ctl.CheckedBackend, ctl.Revision, error) {
	return nil, ctl.Revision{}, nil
}

func (s slow) SetHealth(context.Context, []ctl.BackendHealth) ([]ctl.BackendHealth, error) {
	return nil, nil
}

func (s slow) ReplaceSocket(syscall.RawConn) error { return nil }

func (s slow) Watch(ctx context.Context, _ ctl.Watcher) error {
	<-ctx.Done()
	return ctx.Err()
}

// start serves a dataplane that is free until the server listens.
func start(t *testing.T, s slow) (get func(path string) (int, string), stop func(), ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	socket := Address(unixPrefix + filepath.Join(t.TempDir(), "s"))
	listening, done := make(chan struct{}), make(chan error, 1)
	var log bytes.Buffer
	go func() {
		done <- Run(ctx, Options{
			Listen: socket, SocketMode: DefaultMode, Errors: &log,
			Open:      func() (Dataplane, error) { return s, nil },
			Listening: func(string) { close(listening) },
		})
	}()
	// It looks once, before it listens.
	<-s.asked
	s.free <- struct{}{}
	<-listening
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(string(socket), unixPrefix))
		},
	}}
	return func(path string) (int, string) {
		response, err := client.Get("http://socket" + path)
		if err != nil {
			return 0, err.Error()
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return 0, err.Error()
		}
		return response.StatusCode, string(body)
	}, cancel, done
}

// An answer that is on its way when the server is to end, arrives.
func TestEndingIsPatient(t *testing.T) {
	s := newSlow()
	get, stop, ended := start(t, s)
	var status int
	var body string
	answered := make(chan struct{})
	go func() {
		status, body = get("/metrics")
		close(answered)
	}()
	<-s.asked
	stop()
	select {
	case err := <-ended:
		t.Fatalf("it has ended before: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.free <- struct{}{}
	<-answered
	if status != http.StatusOK || !strings.Contains(body, "xfwd_loaded 1\n") {
		t.Errorf("status %d: %s", status, body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// While a command has the dataplane for itself, whoever asks whether all is ready is
// told so in time, and that the server lives at once.
func TestReadyIsNotPatient(t *testing.T) {
	s := newSlow()
	get, stop, ended := start(t, s)
	started := time.Now()
	if status, body := get("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: status %d: %s", status, body)
	}
	if status, body := get("/readyz"); status != http.StatusServiceUnavailable || strings.Count(body, "\n") != 1 {
		t.Errorf("/readyz: status %d: %s", status, body)
	}
	if took := time.Since(started); took < readyPatience || took > 5*readyPatience {
		t.Errorf("that took %v", took)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Scrapes that come while another is measured share the next measurement.
func TestScrapesShareMeasurements(t *testing.T) {
	s := newSlow()
	get, stop, ended := start(t, s)
	statuses := make(chan int)
	scrape := func() {
		status, _ := get("/metrics")
		statuses <- status
	}
	go scrape()
	<-s.asked
	const others = 20
	for range others {
		go scrape()
	}
	select {
	case <-s.asked:
		t.Error("two are measured at once")
	case <-time.After(100 * time.Millisecond):
	}
	close(s.free)
	for range 1 + others {
		if status := <-statuses; status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	// Those that came late may have needed one more.
	if looks := 1 + len(s.asked); looks > 3 {
		t.Errorf("%d measurements", looks)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Many connections that say nothing, or promise a body that never comes, keep nobody out.
func TestSilentConnections(t *testing.T) {
	s := newSlow()
	close(s.free)
	ctx, cancel := context.WithCancel(t.Context())
	done, listening := make(chan error, 1), make(chan string, 1)
	var log bytes.Buffer
	go func() {
		done <- Run(ctx, Options{
			Listen: "127.0.0.1:0", Errors: &log, ReadOnly: true,
			Open:      func() (Dataplane, error) { return s, nil },
			Listening: func(at string) { listening <- at },
		})
	}()
	at := <-listening
	go func() {
		for range s.asked {
		}
	}()
	var silent []net.Conn
	for i := range 3 * mostConnections {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
		}
		silent = append(silent, conn)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/api/v1/state"} {
		started := time.Now()
		response, err := http.Get("http://" + at + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK || time.Since(started) > readTimeout {
			t.Errorf("%s: status %d after %v", path, response.StatusCode, time.Since(started))
		}
	}
	for _, conn := range silent {
		conn.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A server answers for the hosts that it is, and for no name that somebody makes up.
func TestHosts(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	tcp := func(address string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address)) }
	for _, c := range []struct {
		at     net.Addr
		listen Address
		hosts  []string
		yes    []string
		no     []string
	}{
		{
			tcp("127.0.0.1:9980"), DefaultAddress, nil,
			[]string{"localhost", "LOCALHOST.:9980", "127.0.0.1", "127.0.0.1:1"},
			[]string{"rebound.example", "192.0.2.1:9980", "[::1]:9980", "localhost.example", own + ".example"},
		},
		{
			tcp("[::]:9980"), ":9980", []string{"proxy.example"},
			[]string{"localhost:9980", "192.0.2.1:9980", "[2001:db8::1]", "[2001:db8::1]:9980", own, "Proxy.example:443"},
			[]string{"rebound.example:9980", "a.proxy.example", "[2001:db8::1].example"},
		},
		{tcp("192.0.2.1:80"), "web.example:80", nil, []string{"web.example", "192.0.2.1"}, []string{"192.0.2.2", "example"}},
		{&net.UnixAddr{Name: "/s", Net: "unix"}, "unix:/s", nil, []string{"socket"}, nil},
	} {
		h := hostsOf(c.at, Options{Listen: c.listen, Hosts: c.hosts})
		for _, host := range c.yes {
			if !h.has(host) {
				t.Errorf("%s does not answer for %s", c.listen, host)
			}
		}
		for _, host := range c.no {
			if h.has(host) {
				t.Errorf("%s answers for %s", c.listen, host)
			}
		}
	}
}
