// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// A million datagrams from two processors at once are counted to the last one, though
// serve is killed and started again meanwhile, with another command between. No scrape
// shows less than the one before. Not parallel: others would lose their patience.
func TestMetricsAreExact(t *testing.T) {
	const datagrams, size = 500_000, 18
	cpus, err := lab.CPUs()
	if err != nil || len(cpus) < 2 {
		t.Fatalf("this test takes two processors: there are %v (%v)", cpus, err)
	}
	lan := lab.New(t).Direct()
	lan.Host.ListenUDP(":30053") // nobody reads it; what finds no room there, has been counted
	x := lan.Host.XFWD()
	x.Add("53/udp", "30053")
	const (
		labels  = `{direction="in",forward="53/udp",frontend="53/udp",protocol="udp"}`
		packets = "xfwd_forward_packets_total" + labels
		bytes   = "xfwd_forward_bytes_total" + labels
		opened  = `xfwd_forward_connections_total{forward="53/udp",frontend="53/udp",protocol="udp"}`

		ofBackend      = `{backend="30053",direction="in",forward="53/udp",frontend="53/udp",protocol="udp"}`
		backendPackets = "xfwd_backend_packets_total" + ofBackend
		backendBytes   = "xfwd_backend_bytes_total" + ofBackend
	)
	s := x.Serve()
	var senders sync.WaitGroup
	failures := make([]error, 2)
	for i, host := range []netip.Addr{lan.HostAddr.V4, lan.HostAddr.V6} {
		senders.Go(func() { failures[i] = lan.Client.Flood(at(host, 53), cpus[i], datagrams, size) })
	}
	sent := make(chan struct{})
	go func() {
		senders.Wait()
		close(sent)
	}()
	scrapes, last := 0, lab.Samples{}
	scrape := func() {
		t.Helper()
		now := s.Metrics()
		for _, name := range []string{packets, bytes, opened, backendPackets, backendBytes} {
			if now[name] < last[name] {
				t.Errorf("%s fell from %.0f to %.0f", name, last[name], now[name])
			}
		}
		scrapes, last = scrapes+1, now
	}
	restarts := 0
	for going := true; going; {
		select {
		case <-sent:
			going = false
		default:
		}
		if last[packets] > float64(1+restarts)*datagrams/2 {
			s.Kill()
			x.Do("add", "53/udp", "30053")
			s = x.Serve()
			restarts++
		}
		scrape()
	}
	for i, err := range failures {
		if err != nil {
			t.Fatalf("sender %d: %v", i, err)
		}
	}
	scrape()
	if last[packets] != 2*datagrams {
		t.Errorf("%.0f packets are counted, %d were sent", last[packets], 2*datagrams)
	}
	// With the headers of Ethernet, IP and UDP.
	if want := float64(datagrams*(14+20+8+size) + datagrams*(14+40+8+size)); last[bytes] != want {
		t.Errorf("%.0f bytes are counted, want %.0f", last[bytes], want)
	}
	if last[backendPackets] != last[packets] || last[backendBytes] != last[bytes] {
		t.Errorf("of the only backend %.0f packets with %.0f bytes are counted", last[backendPackets], last[backendBytes])
	}
	if last[opened] != 2 {
		t.Errorf("%v flows are counted, want 2", last[opened])
	}
	if restarts == 0 {
		t.Error("all was sent before serve was killed")
	}
	t.Logf("%d scrapes, %d restarts", scrapes, restarts)
}
