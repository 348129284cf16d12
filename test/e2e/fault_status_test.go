// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// The tests in files that begin with fault break something while traffic runs, and
// want that nothing goes to the wrong place, that what can work again does, and that
// status says so long as it is broken what it is and what to do.

// noticed is how long the kernel may take to let status see what has happened.
const noticed = 5 * time.Second

// mustWarn fails the test unless status says what is wrong in one line that has all
// of the words, to people and to programs.
func mustWarn(t *testing.T, x *lab.XFWD, words ...string) {
	t.Helper()
	lab.Eventually(t, noticed, func() error {
		has := func(line string) bool { return hasAll(line, words) }
		if warnings := x.Status().Warnings; !slices.ContainsFunc(warnings, has) {
			return fmt.Errorf("no warning of status has all of %q: %q", words, warnings)
		}
		text := x.Do("status").Stdout
		for line := range strings.Lines(text) {
			if warning, is := strings.CutPrefix(line, "warning: "); is && has(warning) {
				return nil
			}
		}
		return fmt.Errorf("no line of status has all of %q:\n%s", words, text)
	})
}

func hasAll(s string, words []string) bool {
	return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(s, word) })
}

// mustBeFine fails the test unless nothing is wrong for status.
func mustBeFine(t *testing.T, x *lab.XFWD) {
	t.Helper()
	lab.Eventually(t, noticed, func() error {
		if warnings := x.Status().Warnings; len(warnings) != 0 {
			return fmt.Errorf("status warns: %q", warnings)
		}
		if text := x.Do("status").Stdout; strings.Contains(text, "warning") {
			return fmt.Errorf("status warns:\n%s", text)
		}
		return nil
	})
}

// fleetUnderFault is a fleet of two, of which a test can break the first; clients talk
// to both.
func fleetUnderFault(t *testing.T) (f *fleet, load *traffic, of [][]*talk) {
	t.Helper()
	f = newFleet(t, 2)
	f.publish(t, "80/tcp+udp", f.all())
	load, of = f.talkToAll(t, 80)
	mustGoOn(t, load.conns, soon)
	mustBeFine(t, f.xfwd)
	return f, load, of
}

// talkToAll has clients talk to all backends of a fleet, over one connection of each
// kind to each, and returns those of each.
func (f *fleet) talkToAll(t *testing.T, port uint16) (load *traffic, of [][]*talk) {
	t.Helper()
	load, of = &traffic{network: f.Network, port: port}, make([][]*talk, len(f.pods))
	const enough = 64
	for _, network := range networks {
		for _, host := range f.HostAddr.All() {
			met := make(map[int]*lab.Conn)
			for try := 0; len(met) < len(f.pods); try++ {
				if try == enough {
					t.Fatalf("%d connections have not met all of %d backends", enough, len(f.pods))
				}
				conn := f.Client.MustConnect(network, at(host, port))
				mustEcho(t, conn)
				if i := f.index(t, conn.Server.Addr()); met[i] == nil {
					met[i] = conn
				} else {
					conn.Close()
				}
			}
			for i, conn := range met {
				of[i] = append(of[i], load.talk(network, conn))
			}
		}
	}
	return load, of
}

// again is how long a connection may take to go on after a fault that has lasted since
// then: TCP sends again when as much time has gone by once more, at most.
func again(since time.Time) time.Duration { return 2*soon + 2*time.Since(since) }

// mustServeOnly makes new connections to a port, all at once. All that are answered
// must be by these backends; all must be answered if they are all that there are.
func (f *fleet) mustServeOnly(t *testing.T, port uint16, backends ...int) {
	t.Helper()
	const each, rounds = 8, 8
	var all sync.WaitGroup
	for _, network := range networks {
		for family, host := range f.HostAddr.All() {
			all.Go(func() {
				var answered int32
				// Chance may choose a backend that is away for all connections of a round.
				for round := 0; answered == 0 && round < rounds; round++ {
					answered = f.connectAtOnce(t, network, at(host, port), each, backends)
				}
				if answered == 0 {
					t.Errorf("no new connection, %s over %s, was answered", network, family)
				}
			})
		}
	}
	all.Wait()
}

// connectAtOnce makes connections for mustServeOnly, and returns how many are answered.
func (f *fleet) connectAtOnce(t *testing.T, network string, to netip.AddrPort, count int, backends []int) int32 {
	t.Helper()
	var answered atomic.Int32
	var clients sync.WaitGroup
	for range count {
		clients.Go(func() {
			conn, err := f.Client.Connect(network, to, anyPort)
			switch {
			case err == nil:
				conn.Close()
				answered.Add(1)
				if !slices.ContainsFunc(backends, func(i int) bool { return f.pods[i].Addr.Of(to.Addr()) == conn.Server.Addr() }) {
					t.Errorf("a new connection, %s to %v, was answered by %v", network, to, conn.Server)
				}
			case len(backends) == len(f.pods):
				t.Errorf("a new connection, %s to %v: %v", network, to, err)
			}
		})
	}
	clients.Wait()
	return answered.Load()
}
