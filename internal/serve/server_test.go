// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
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
	return slow{asked: make(chan struct{}, 2*mostScrapes), free: make(chan struct{})}
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

// Scrapes are answered one by one, and more than a few at once are refused.
func TestScrapesWaitForTheirTurn(t *testing.T) {
	s := newSlow()
	get, stop, ended := start(t, s)
	statuses := make(chan int)
	scrape := func() {
		status, _ := get("/metrics")
		statuses <- status
	}
	for range mostScrapes + 1 {
		go scrape()
	}
	// One of them is too many, one is measured, the others wait.
	if status := <-statuses; status != http.StatusServiceUnavailable {
		t.Errorf("one too many: status %d", status)
	}
	for range mostScrapes {
		<-s.asked
		select {
		case <-s.asked:
			t.Error("two are measured at once")
		case <-time.After(20 * time.Millisecond):
		}
		s.free <- struct{}{}
		if status := <-statuses; status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
