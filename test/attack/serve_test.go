// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// prompt is how long a scrape or a command may take during an attack, on a machine that
// is busy with it.
const prompt = 5 * time.Second

// served is a host with a forward and `xfwd serve`.
type served struct {
	*lab.Network
	xfwd  *lab.XFWD
	serve *lab.Serving
	ports int
}

func newServed(t *testing.T) *served {
	t.Helper()
	network := lab.New(t).Direct()
	s := &served{Network: network, xfwd: network.Host.XFWD()}
	s.xfwd.Add("80", "30080")
	s.serve = s.xfwd.Serve()
	return s
}

// mustWork fails the test unless a scrape is answered and a command succeeds, in time.
func (s *served) mustWork(t *testing.T, during string) {
	t.Helper()
	started := time.Now()
	web := s.Host.Web(":9980")
	if samples := web.Metrics(); samples["xfwd_up"] != 1 {
		t.Errorf("%s: xfwd_up is %v", during, samples["xfwd_up"])
	}
	if took := time.Since(started); took > prompt {
		t.Errorf("%s: a scrape took %v", during, took)
	}
	s.ports++
	if result := s.xfwd.Add(fmt.Sprint(8000+s.ports), "30080"); result.Elapsed > prompt {
		t.Errorf("%s: xfwd add took %v", during, result.Elapsed)
	}
}

// dial connects to the server from its host.
func (s *served) dial(t *testing.T) net.Conn {
	t.Helper()
	var conn net.Conn
	var err error
	s.Host.Do(func() { conn, err = net.Dial("tcp", "127.0.0.1:9980") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A thousand connections that say nothing, half a request, or that a body comes, keep
// neither scrapes nor commands out, and end.
func TestServeSlowClients(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]string{
		"silent":       "",
		"half a line":  "GET /metr",
		"half headers": "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-More: ",
		"no body":      "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",
		"half a chunk": "GET /api/v1/state HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"never reads":  strings.Repeat("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServed(t)
			var conns []net.Conn
			for range 1000 {
				conn := s.dial(t)
				io.WriteString(conn, said) // it may be closed already
				conns = append(conns, conn)
			}
			for range 3 {
				s.mustWork(t, name)
			}
			open := 0
			for _, conn := range conns {
				conn.SetReadDeadline(time.Now().Add(30 * time.Second))
				if _, err := io.Copy(io.Discard, conn); os.IsTimeout(err) {
					open++
				}
			}
			// Requests that are whole leave a connection that may be idle for longer.
			if open > 0 && name != "never reads" {
				t.Errorf("%d connections are open for half a minute", open)
			}
		})
	}
}

// Who asks as often as he can, whatever for, does not keep commands from the dataplane.
func TestServeHammered(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/readyz", "/metrics", "/api/v1/state", "/api/v1/status"} {
		t.Run(strings.ReplaceAll(path[1:], "/", "-"), func(t *testing.T) {
			t.Parallel()
			s := newServed(t)
			var asked atomic.Int64
			var all sync.WaitGroup
			stop := make(chan struct{})
			for range 50 {
				web := s.Host.Web(":9980")
				all.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if _, err := web.Get(path); err == nil {
							asked.Add(1)
						}
					}
				})
			}
			lab.Eventually(t, time.Minute, func() error {
				if n := asked.Load(); n < 100 {
					return fmt.Errorf("%d requests were answered", n)
				}
				return nil
			})
			for range 5 {
				s.mustWork(t, path)
			}
			threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.serve.Process.Process.Pid))
			if err != nil || len(threads) > 40 {
				t.Errorf("%d threads (%v)", len(threads), err)
			}
			close(stop)
			all.Wait()
		})
	}
}

// A page of somebody else, in a browser that can reach the server, reads nothing: its name
// leads here, but is no name of ours.
func TestServeRebinding(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	for host, want := range map[string]int{
		"":                                      http.StatusOK, // 127.0.0.1:9980
		"localhost:9980":                        http.StatusOK,
		s.HostAddr.V4.String() + ":9980":        http.StatusOK,
		"[" + s.HostAddr.V6.String() + "]:9980": http.StatusOK,
		"rebound.example:9980":                  http.StatusMisdirectedRequest,
		"127.0.0.1.rebound.example":             http.StatusMisdirectedRequest,
		"localhost.rebound.example:9980":        http.StatusMisdirectedRequest,
	} {
		for _, path := range []string{"/", "/metrics", "/readyz", "/healthz", "/api/v1/state", "/api/v1/status", "/page/page.js"} {
			request, err := http.NewRequest(http.MethodGet, s.serve.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = host
			response, err := s.serve.Client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			refused := response.StatusCode == http.StatusMisdirectedRequest
			if refused != (want == http.StatusMisdirectedRequest) {
				t.Errorf("%s of %q: status %d", path, host, response.StatusCode)
			}
			if refused && (strings.Count(string(body), "\n") != 1 || !strings.Contains(string(body), "--host")) {
				t.Errorf("%s of %q: %q", path, host, body)
			}
		}
	}
}
