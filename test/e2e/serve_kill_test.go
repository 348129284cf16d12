// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// While a thousand connections talk, serve is killed and started again. Nobody
// notices, and what it shows goes on where it was.
func TestServeIsKilledAndNobodyNotices(t *testing.T) {
	t.Parallel()
	const connections = 1000
	moreFiles(t, 10_000)
	lan := lab.New(t).Direct()
	lan.Host.Echo("tcp", ":30080")
	x := lan.Host.XFWD()
	x.Add("80", "30080")
	talk := newRounds(t, lan, at(lan.HostAddr.V4, 80), connections)
	series := func(name string) string {
		return name + `{forward="80/tcp",frontend="80/tcp",protocol="tcp"}`
	}
	const packets = `xfwd_forward_packets_total{direction="in",forward="80/tcp",frontend="80/tcp",protocol="tcp"}`

	s := x.Serve()
	before := s.Metrics()
	talk.mustGoOn(t)
	s.Kill()
	talk.mustGoOn(t)
	s = x.Serve()
	talk.mustGoOn(t)
	after := s.Metrics()
	for _, got := range []lab.Samples{before, after} {
		for _, name := range []string{"xfwd_forward_connections_total", "xfwd_forward_active_connections"} {
			if n := got[series(name)]; n != connections {
				t.Errorf("%s is %v, want %d", name, n, connections)
			}
		}
	}
	// Three rounds, each of them a packet from each client at least.
	if more := after[packets] - before[packets]; more < 3*connections {
		t.Errorf("%v packets have been counted since the first scrape, want %d at least", more, 3*connections)
	}
}

// rounds are connections that all talk, one after the other, until the test ends.
type rounds struct {
	done   atomic.Int64
	failed atomic.Pointer[error]
}

// newRounds opens connections and has them talk.
func newRounds(t *testing.T, lan *lab.Network, to netip.AddrPort, connections int) *rounds {
	t.Helper()
	conns := make([]*lab.Conn, connections)
	for i := range conns {
		conns[i] = lan.Client.MustConnect("tcp", to)
	}
	r := &rounds{}
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			for i, conn := range conns {
				select {
				case <-stop:
					return
				default:
				}
				if err := conn.Echo(fmt.Appendf(nil, "round %d of connection %d", r.done.Load(), i)); err != nil {
					err = fmt.Errorf("connection %d: %w", i, err)
					r.failed.Store(&err)
					return
				}
			}
			r.done.Add(1)
		}
	})
	t.Cleanup(func() {
		close(stop)
		all.Wait()
	})
	return r
}

// mustGoOn waits until each connection has talked from now on, and fails the test if
// one cannot.
func (r *rounds) mustGoOn(t *testing.T) {
	t.Helper()
	// The round that is on its way may have passed some already.
	until := r.done.Load() + 2
	lab.Eventually(t, 20*lab.Patience, func() error {
		if failed := r.failed.Load(); failed != nil {
			t.Fatal(*failed)
		}
		if done := r.done.Load(); done < until {
			return fmt.Errorf("%d rounds, want %d", done, until)
		}
		return nil
	})
}
