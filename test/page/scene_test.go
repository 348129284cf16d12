// SPDX-License-Identifier: Apache-2.0

package page

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// scene is a host that has something to show: several forwards, containers, clients.
type scene struct {
	*lab.Site
	xfwd    *lab.XFWD
	serving *lab.Serving
	// program is what serves, if it is not the xfwd that adds forwards.
	program string
	// url is the address of the page, seen from the client.
	url string
}

// hostName is what the host of the scene is called.
const hostName = "gateway"

// newScene makes a host with forwards of many kinds and a server of the page.
func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{Site: lab.New(t).Containers(3)}
	for _, server := range s.Servers {
		server.Echo("tcp", ":8080")
		server.Echo("udp", ":8080")
	}
	s.Host.Echo("tcp", ":30080")
	s.Host.Echo("udp", ":30053")
	s.xfwd = s.Host.XFWD()
	s.xfwd.MaxFlows = "65536"
	to := func(port string, which ...int) (words []string) {
		for _, i := range which {
			words = append(words, s.Servers[i].Addr.V4.String()+":"+port)
		}
		return words
	}
	add := func(frontend string, backends []string, options ...string) {
		s.xfwd.Add(append(append([]string{frontend}, backends...), options...)...)
	}
	add("80", []string{"30080"}, "--name", "web")
	add("53/udp", []string{"30053"}, "--name", "dns")
	add("443/tcp+udp", to("8080", 0, 1, 2), "--name", "shop", "--balance", "least-connections", "--comment", "the shop's containers")
	add("5432", to("8080", 2), "--name", "database", "--affinity", "3h")
	add("8080", to("8080", 0, 1), "--name", "staging")
	add("8443", []string{"[" + s.Servers[1].Addr.V6.String() + "]:8080"}, "--name", "staging-6")
	add("192.0.2.1:9000-9005", []string{"30900-30905"})
	add("6379", to("8080", 0), "--name", "cache")
	s.xfwd.Do("backend", "drain", "shop", to("8080", 2)[0])
	s.xfwd.Do("backend", "drain", "cache", to("8080", 0)[0])
	s.serve()
	return s
}

// serve starts the server of the page, with more words for its command line.
func (s *scene) serve(words ...string) {
	const address = ":9980"
	serve := s.xfwd.Command(append([]string{"serve", "--listen", address}, words...)...).Args
	if s.program != "" {
		serve[0] = s.program
	}
	args := append([]string{"--uts", "sh", "-c", `hostname "$1" && shift && exec "$@"`, "sh", hostName}, serve...)
	s.serving = s.xfwd.ServeCommand(exec.Command("unshare", args...), s.Host.Web(address))
	s.url = fmt.Sprintf("http://%s:9980/", s.HostAddr.V4)
}

// look looks at the page, from the client's machine.
func (s *scene) look(t *testing.T, at screen) *browser {
	t.Helper()
	return look(t, s.Client, s.url, at)
}

// trade is what clients do at one port.
type trade struct {
	network string
	port    uint16
	// exchanges is how many times a client asks on one connection, payload how many
	// bytes go each way.
	exchanges, payload int
	// every is how long a client waits before it asks again, on average.
	every time.Duration
	// clients come at the same time.
	clients int
}

// trades are those of the scene.
var trades = []trade{
	{"tcp", 80, 20, 900, 40 * time.Millisecond, 4},
	{"udp", 53, 30, 60, 30 * time.Millisecond, 3},
	{"tcp", 443, 60, 1300, 15 * time.Millisecond, 6},
	{"udp", 443, 40, 1100, 25 * time.Millisecond, 2},
	{"tcp", 5432, 400, 200, 50 * time.Millisecond, 3},
	{"tcp", 8080, 5, 500, 300 * time.Millisecond, 1},
	{"tcp", 6379, 1, 10, 900 * time.Millisecond, 1},
}

// trade has clients trade until stop is called or the test ends. What fails is
// nobody's business here.
func (s *scene) trade(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for _, trade := range trades {
		for i := range trade.clients {
			clients.Go(func() {
				for ctx.Err() == nil {
					trade.deal(ctx, s, i)
				}
			})
		}
	}
	stop = func() {
		cancel()
		clients.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// deal is one client's connection.
func (d trade) deal(ctx context.Context, s *scene, client int) {
	conn, err := s.Client.Dial(d.network, netip.AddrPortFrom(s.HostAddr.V4, d.port), netip.AddrPort{})
	if err != nil {
		pause(ctx, d.every)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })()
	payload := make([]byte, d.payload)
	answer := make([]byte, 1<<16)
	for range d.exchanges {
		conn.SetDeadline(time.Now().Add(lab.Patience))
		if _, err := conn.Write(payload); err != nil {
			return
		}
		if err := d.hear(conn, answer); err != nil || ctx.Err() != nil {
			return
		}
		pause(ctx, d.rhythm(client))
	}
}

func (d trade) hear(conn net.Conn, answer []byte) error {
	var err error
	if d.network == "udp" {
		_, err = conn.Read(answer)
	} else {
		_, err = io.ReadAtLeast(conn, answer, d.payload)
	}
	return err
}

// rhythm is a pause that becomes longer and shorter with the time of the day.
func (d trade) rhythm(client int) time.Duration {
	now := float64(time.Now().UnixMilli()) / 1000
	wave := 1 + 0.5*math.Sin(now/9+2*float64(client)+float64(d.port)) + 0.3*math.Sin(now/3+float64(d.port))
	return time.Duration(float64(d.every) * wave)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
