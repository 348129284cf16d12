// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/binary"
	"math"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"

	"github.com/xfwd/xfwd/test/lab"
)

const (
	// shareFlows is how many flows Maglev's shares are measured with.
	shareFlows = 100_000
	// shareLimit is how far a backend's share may be from that of its weight, as a part of it, with
	// four backends. Ten have smaller shares, and of the hundred thousand there are fewer flows for
	// each: chance alone, with a standard deviation of 0.95 %, takes one of ten beyond 2 % often.
	shareLimit      = 0.02
	shareLimitOfTen = 0.04
	// movedLimit is the part of the flows of nine backends that may move when the tenth goes.
	movedLimit = 0.01
)

// Over 100,000 flows Maglev gives each of four backends its share within 2 %, and
// when one of ten goes, hardly any flow of the others moves.
func TestMaglevShares(t *testing.T) {
	t.Parallel()
	f := newSilentFleet(t, 10)
	arrivals := f.countArrivals(t)
	for family, host := range f.HostAddr.All() {
		// All flows are the same each time, so what holds once holds always.
		spread := func(t *testing.T, weights ...int) []int32 {
			t.Helper()
			// Nothing may be known of these flows from before.
			f.xfwd.Do("unload")
			f.publish(t, "80/udp", f.weighted(weights...))
			return arrivals.spray(t, f.Network, host)
		}
		within(t, f.Network, family+" by weight", func(t *testing.T) {
			weights := []int{1, 2, 3, 4}
			mustShare(t, weights, spread(t, weights...), shareLimit)
		})
		within(t, f.Network, family+" one of ten goes", func(t *testing.T) {
			weights := []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}
			before := spread(t, weights...)
			mustShare(t, weights, before, shareLimitOfTen)
			const gone = 4
			weights[gone] = 0
			after := spread(t, weights...)
			mustShare(t, weights, after, shareLimitOfTen)
			stayed, moved := 0, 0
			for i := range before {
				switch before[i] {
				case gone:
				case after[i]:
					stayed++
				default:
					moved++
				}
			}
			share := float64(moved) / float64(stayed+moved)
			t.Logf("%.2f %% of the flows of the other nine moved", 100*share)
			if share > movedLimit {
				t.Errorf("more than %.0f %% moved", 100*movedLimit)
			}
		})
	}
}

// mustShare compares how many flows backends got with their weights.
func mustShare(t *testing.T, weights []int, flows []int32, limit float64) {
	t.Helper()
	got, sum := make([]int, len(weights)), 0
	for _, backend := range flows {
		got[backend]++
	}
	for _, weight := range weights {
		sum += weight
	}
	worst := 0.0
	for i, weight := range weights {
		want := float64(len(flows)*weight) / float64(sum)
		if weight == 0 {
			if got[i] != 0 {
				t.Errorf("backend %d got %d flows, though its weight is 0", i, got[i])
			}
			continue
		}
		worst = max(worst, math.Abs(float64(got[i])/want-1))
	}
	t.Logf("weights %v: flows %v, at worst %.2f %% beside the weight", weights, got, 100*worst)
	if worst > limit {
		t.Errorf("a share is more than %.0f %% beside its weight", 100*limit)
	}
}

// arrivals says which backend each datagram came to; the datagram bears its
// number.
type arrivals struct {
	backend []int32
	count   atomic.Int64
}

// countArrivals listens at each backend.
func (f *fleet) countArrivals(t *testing.T) *arrivals {
	t.Helper()
	a := &arrivals{backend: make([]int32, shareFlows)}
	for i, pod := range f.pods {
		for _, addr := range pod.Addr.All() {
			conn := pod.ListenUDP(at(addr, fleetPort).String())
			go func() {
				datagram := make([]byte, 64)
				for {
					size, err := conn.Read(datagram)
					if err != nil {
						return
					}
					if size == 4 {
						atomic.StoreInt32(&a.backend[binary.BigEndian.Uint32(datagram)], int32(i))
						a.count.Add(1)
					}
				}
			}()
			// So that the host has the neighbour when many datagrams want to go there at once.
			greeter, err := f.Host.Dial("udp", at(addr, fleetPort), anyPort)
			if err != nil {
				t.Fatal(err)
			}
			greeter.Write([]byte("hello"))
			greeter.Close()
		}
	}
	return a
}

// spray sends one datagram of each of shareFlows flows to port 80 and returns
// where each came to.
func (a *arrivals) spray(t *testing.T, net *lab.Network, host netip.Addr) []int32 {
	t.Helper()
	const (
		atOnce = 100 // what any socket has room for
		ports  = 50_000
	)
	for i := range a.backend {
		atomic.StoreInt32(&a.backend[i], -1)
	}
	a.count.Store(0)
	injector := net.Client.Injector("eth0", net.Host, "eth0")
	client := net.ClientAddr.Of(host)
	for i := range shareFlows {
		if i > 0 && i%ports == 0 {
			client = client.Next()
		}
		datagram := layers.UDP{SrcPort: layers.UDPPort(10_000 + i%ports), DstPort: 80}
		injector.Send(client, host, &datagram, binary.BigEndian.AppendUint32(nil, uint32(i)))
		if sent := int64(i) + 1; sent%atOnce == 0 {
			deadline := time.Now().Add(lab.Patience)
			for a.count.Load() < sent {
				if time.Now().After(deadline) {
					t.Fatalf("%d of %d datagrams arrived", a.count.Load(), sent)
				}
				time.Sleep(20 * time.Microsecond)
			}
		}
	}
	return append([]int32(nil), a.backend...)
}
