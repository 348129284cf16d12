// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// While serve runs, a device is attached to as it comes, and when it comes again. No
// command is run for that.
func TestUpkeepAttaches(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	lan := l.Direct()
	x := lan.Host.XFWD()
	for _, network := range networks {
		lan.Host.Echo(network, ":30080")
	}
	s := x.Serve()
	x.Add("80/tcp+udp", "30080")
	load := keepTalking(lan, 80)
	for range 2 {
		l.Veth(lan.Host, "late", lan.Client, "late", 1500)
		mustAttach(t, x, "late")
		lan.Client.Join("late", lateSubnet, 1)
		for _, addr := range lan.Host.Join("late", lateSubnet, 2).All() {
			for _, network := range networks {
				lab.Eventually(t, 10*lab.Patience, func() error {
					conn, err := lan.Client.Connect(network, at(addr, 80), anyPort)
					if err != nil {
						return err
					}
					defer conn.Close()
					return conn.Echo([]byte("hello"))
				})
			}
		}
		lan.Host.DeleteLink("late")
	}
	load.mustGoOn(t, soon)
	got := s.Metrics()
	if looks, failed := got["xfwd_reconcile_duration_seconds_count"], got[`xfwd_reconcile_errors_total{what="host"}`]; looks < 4 || failed != 0 {
		t.Errorf("%v looks at the host, and %v failed", looks, failed)
	}
}

// reconciled is how often serve has looked at the host as a whole.
func reconciled(s *lab.Serving) float64 {
	return s.Metrics()["xfwd_reconcile_duration_seconds_count"]
}

// mustReconcile waits until serve has done that more often.
func mustReconcile(t *testing.T, s *lab.Serving, than float64) {
	t.Helper()
	lab.Eventually(t, 10*lab.Patience, func() error {
		time.Sleep(50 * time.Millisecond) // a scrape is work
		if now := reconciled(s); now <= than {
			return fmt.Errorf("serve has looked at the host %v times, as before", now)
		}
		return nil
	})
}

// lateSubnet is one that no topology has.
const lateSubnet = 77

// mustAttach waits until both hooks of a device are attached.
func mustAttach(t *testing.T, x *lab.XFWD, device string) {
	t.Helper()
	lab.Eventually(t, 30*lab.Patience, func() error {
		attached := 0
		for _, h := range x.Status().Hooks {
			if h.Device == device && h.Mode != "none" {
				attached++
			}
		}
		if attached < 2 {
			return fmt.Errorf("%s has %d hooks of 2", device, attached)
		}
		return nil
	})
}

// Hooks that somebody has taken away come back.
func TestUpkeepBringsHooksBack(t *testing.T) {
	t.Parallel()
	lan := lab.New(t).Direct()
	x := lan.Host.XFWD()
	for _, network := range networks {
		lan.Host.Echo(network, ":30080")
	}
	x.Add("80/tcp+udp", "30080")
	x.Serve()
	for _, direction := range []string{"ingress", "egress"} {
		x.TearOff("eth0", direction)
	}
	mustAttach(t, x, "eth0")
	for _, network := range networks {
		for _, host := range lan.HostAddr.All() {
			mustEcho(t, lan.Client.MustConnect(network, at(host, 80)))
		}
	}
	mustBeFine(t, x)
}

// atOnce is far less than the two seconds for which a next hop is used otherwise.
const atOnce = 300 * time.Millisecond

// When the way to a backend leads by another router, no packet goes by the old one any
// more as soon as serve has heard of it. Without it that takes seconds.
func TestUpkeepFollowsRoutes(t *testing.T) {
	t.Parallel()
	site := lab.New(t).TwoArmed(0)
	routers, far := site.Routers(1500)
	for _, network := range networks {
		far.Echo(network, ":30080")
	}
	x := site.Host.XFWD()
	x.Add(append([]string{"80/tcp+udp"}, backends(far, 30080)...)...)
	s := x.Serve()
	var conns []*lab.Conn
	for _, network := range networks {
		for _, host := range site.HostAddr.All() {
			conns = append(conns, site.Client.MustConnect(network, at(host, 80)))
		}
	}
	talk := func() {
		t.Helper()
		for _, conn := range conns {
			for range 5 {
				mustEcho(t, conn)
			}
		}
	}
	talk()
	// A look at the host as a whole, as at the start, ends next hops, too.
	ended := func() float64 {
		m := s.Metrics()
		return m["xfwd_next_hops_ended_total"] + m["xfwd_reconcile_duration_seconds_count"]
	}
	awaitMore := func(than float64) {
		t.Helper()
		lab.Eventually(t, 10*lab.Patience, func() error {
			time.Sleep(50 * time.Millisecond) // a scrape is work
			if now := ended(); now <= than {
				return fmt.Errorf("next hops have been ended %v times, as before", now)
			}
			return nil
		})
	}
	awaitMore(0)
	for _, now := range []int{1, 0, 1} {
		for _, addr := range far.Addr.All() {
			before := ended()
			site.Host.ReplaceRoute(netip.PrefixFrom(addr, addr.BitLen()), routers[now].Addr.Of(addr))
			awaitMore(before)
		}
		// What was under way when a route changed does not count.
		time.Sleep(atOnce)
		old, new := routers[1-now].Capture("eth0"), routers[now].Capture("eth0")
		talk()
		if strays := towards(old.Stop(), 30080); strays != 0 {
			t.Errorf("%d packets still go by the old router", strays)
		}
		if towards(new.Stop(), 30080) == 0 {
			t.Error("no packet goes by the new router")
		}
	}
}
