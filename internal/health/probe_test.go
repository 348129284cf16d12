// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

// asked probes a target with real sockets, and returns what is wrong in words.
func asked(t *testing.T, w *watch, target string, c ctl.Check) string {
	t.Helper()
	p := newProbe(Options{Dial: new(net.Dialer).DialContext, Version: "v1"})
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	w.backend.Check = c
	w.backend.Targets = []netip.AddrPort{netip.MustParseAddrPort(target)}
	ctx, cancel := context.WithTimeout(t.Context(), c.Timeout)
	defer cancel()
	if err := p.any(ctx, w); err != nil {
		return reason(err, c).Error()
	}
	return ""
}

// closed is an address at which nobody listens.
func closed(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		conn, err := net.ListenPacket(network, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.LocalAddr().String()
	}
	l, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// To connect is enough, and the server sees the connection end as any other, also when it
// has said something.
func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ends := make(chan error)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, err = conn.Write([]byte("220 welcome\r\n"))
			// Long enough for whoever does not read to close.
			time.Sleep(20 * time.Millisecond)
			if err == nil {
				_, err = conn.Read(make([]byte, 1))
			}
			// Who has been reset cannot write.
			if _, broken := conn.Write([]byte("221 goodbye\r\n")); broken != nil {
				err = broken
			}
			ends <- err
			conn.Close()
		}
	}()
	for range 3 {
		ended := make(chan error, 1)
		go func() { ended <- <-ends }()
		if got := asked(t, &watch{}, l.Addr().String(), ctl.Check{Kind: ctl.CheckTCP}); got != "" {
			t.Error(got)
		}
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("the server sees %v, want an end", err)
		}
	}
	if got := asked(t, &watch{}, closed(t, "tcp"), ctl.Check{Kind: ctl.CheckTCP}); got != "connection refused" {
		t.Errorf("where nobody listens: %q", got)
	}
}

// A status is what counts; nothing is followed, and no answer is too long.
func TestHTTP(t *testing.T) {
	var got http.Request
	stuck := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			w.Header().Set("Location", "/500")
			w.WriteHeader(http.StatusFound)
		case "/nowhere":
			w.Header().Set("Location", "://")
			w.WriteHeader(http.StatusFound)
		case "/404":
			w.WriteHeader(http.StatusNotFound)
		case "/500":
			w.WriteHeader(http.StatusInternalServerError)
		case "/endless":
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 1<<16))
			}
		case "/stuck":
			<-stuck
		case "/nonsense":
			conn, _, _ := w.(http.Hijacker).Hijack()
			_, _ = conn.Write([]byte("\x1b[2J\n"))
			conn.Close()
		default:
			got = *r
		}
	}))
	defer server.Close()
	defer close(stuck)
	at := server.Listener.Addr().String()
	for path, want := range map[string]string{
		"/":          "",
		"/ok%2C?a=b": "",
		"/moved":     "",
		"/nowhere":   "",
		"/endless":   "",
		"/404":       "status 404",
		"/500":       "status 500",
		"/stuck":     "no answer within 200ms",
	} {
		check := ctl.Check{Kind: ctl.CheckHTTP, Path: path}
		if path == "/stuck" {
			check.Timeout = 200 * time.Millisecond
		}
		if got := asked(t, &watch{}, at, check); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := asked(t, &watch{}, at, ctl.Check{Kind: ctl.CheckHTTP, Path: "/nonsense"}); got == "" || strings.Contains(got, "\x1b") {
		t.Errorf("nonsense: %q", got)
	}
	if got := asked(t, &watch{}, at, ctl.Check{Kind: ctl.CheckHTTP, Path: "/a?b=c%2C"}); got != "" {
		t.Error(got)
	}
	if got.Method != "GET" || got.Host != at || got.RequestURI != "/a?b=c%2C" || got.UserAgent() != "xfwd/v1" || !got.Close {
		t.Errorf("it asked %s %s of %s as %s, last request %v", got.Method, got.RequestURI, got.Host, got.UserAgent(), got.Close)
	}
	if got := asked(t, &watch{}, closed(t, "tcp"), ctl.Check{Kind: ctl.CheckHTTP, Path: "/"}); got != "connection refused" {
		t.Errorf("where nobody listens: %q", got)
	}
}

// Silence is as good as an answer; that nobody gets it is not, and is heard also when it
// is said later.
func TestUDP(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	at := server.LocalAddr().String()
	silent := ctl.Check{Kind: ctl.CheckUDP, Timeout: 50 * time.Millisecond}
	w := &watch{}
	defer w.udp.hangUp()
	if got := asked(t, w, at, silent); got != "" {
		t.Errorf("silence: %q", got)
	}
	go func() {
		for datagram := make([]byte, 9); ; {
			_, from, err := server.ReadFrom(datagram)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(datagram, from)
		}
	}()
	begin := time.Now()
	if got := asked(t, w, at, ctl.Check{Kind: ctl.CheckUDP, Timeout: time.Minute}); got != "" || time.Since(begin) > 30*time.Second {
		t.Errorf("an answer: %q, after %s", got, time.Since(begin))
	}
	server.Close()
	for range 3 {
		if got := asked(t, w, at, silent); got != "connection refused" {
			t.Errorf("where nobody listens any more: %q", got)
		}
	}
	if got := asked(t, &watch{}, closed(t, "udp"), silent); got != "connection refused" {
		t.Errorf("where nobody listens: %q", got)
	}
}
