// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

// world is where backends answer or do not, and when they were asked.
type world struct {
	mu    sync.Mutex
	down  map[string]error
	asked map[string][]time.Time
	// wait is how long an answer takes.
	wait time.Duration
	// now is how many are asked at this moment, most how many have been at once.
	now, most int
}

func newWorld() *world {
	return &world{down: make(map[string]error), asked: make(map[string][]time.Time)}
}

func (w *world) dial(ctx context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	w.asked[address] = append(w.asked[address], time.Now())
	w.now++
	w.most = max(w.most, w.now)
	wait, err := w.wait, w.down[address]
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.now--
	}()
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	far.Close()
	return near, nil
}

func (w *world) set(address string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[address] = err
}

func (w *world) times(address string) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked[address])
}

// counts are those of a checker.
type counts struct {
	mu                        sync.Mutex
	successes, failures, none int
}

func (w *world) checker(t *testing.T) (*Checker, *counts) {
	n := &counts{}
	c := New(Options{
		Dial:    w.dial,
		Version: "v1",
		Checked: func(success bool) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if success {
				n.successes++
			} else {
				n.failures++
			}
		},
		Hindered: func(error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.none++
		},
	})
	t.Cleanup(c.Close)
	return c, n
}

var check = ctl.Check{Kind: ctl.CheckTCP, Interval: 10 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3}

// backend is one that is checked at a target of the same place.
func backend(at string, health ctl.Health) ctl.CheckedBackend {
	target := netip.MustParseAddrPort(at)
	port := ctl.PortRange{First: target.Port(), Last: target.Port()}
	return ctl.CheckedBackend{
		BackendHealth: ctl.BackendHealth{
			Frontend: ctl.Frontend{Protocol: ctl.TCP, Ports: ctl.PortRange{First: 80, Last: 80}},
			Backend:  ctl.Backend{Address: target.Addr(), Ports: port},
			Health:   health,
		},
		Check:   check,
		Targets: []netip.AddrPort{target},
	}
}

// told returns the changes since it was called last, as words.
func told(c *Checker) string {
	synctest.Wait()
	words := ""
	for _, change := range c.Take() {
		words += fmt.Sprintf("%s %s->%s %v;", change.Backend.Place(), change.Before, change.Health, change.Why)
	}
	return words
}

const one = "10.0.0.1:80"

// rounds lets a backend be checked some times more.
func (w *world) rounds(n int) {
	until := len(w.times(one)) + n
	for len(w.times(one)) < until {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond)
}

// A backend that is unknown is up with the first success; one that is up is down after so
// many failures in a row, and up again after so many successes.
func TestRiseAndFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		c, n := w.checker(t)
		c.Set([]ctl.CheckedBackend{backend(one, "")})
		steps := []struct {
			rounds int
			err    error
			want   string
		}{
			{1, nil, one + " ->up <nil>;"},
			{5, nil, ""},
			{2, syscall.ECONNREFUSED, ""},
			{1, nil, ""},
			{2, syscall.ECONNREFUSED, ""},
			{1, syscall.EHOSTUNREACH, one + " up->down no route to host;"},
			{5, syscall.ECONNREFUSED, ""},
			{1, nil, ""},
			{1, syscall.ECONNREFUSED, ""},
			{1, nil, ""},
			{1, nil, one + " down->up <nil>;"},
		}
		for i, step := range steps {
			w.set(one, step.err)
			w.rounds(step.rounds)
			if got := told(c); got != step.want {
				t.Fatalf("step %d: %q, want %q", i, got, step.want)
			}
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.successes != 10 || n.failures != 11 {
			t.Errorf("%d successes and %d failures are counted", n.successes, n.failures)
		}
	})
}

// What the kernel holds is where it begins.
func TestBeginsWithWhatIsKnown(t *testing.T) {
	for _, test := range []struct {
		health ctl.Health
		err    error
		rounds int
		want   string
	}{
		{"", syscall.ECONNREFUSED, 2, ""},
		{"", syscall.ECONNREFUSED, 3, one + " ->down connection refused;"},
		{ctl.HealthUp, nil, 5, ""},
		{ctl.HealthUp, syscall.ECONNREFUSED, 2, ""},
		{ctl.HealthUp, syscall.ECONNREFUSED, 3, one + " up->down connection refused;"},
		{ctl.HealthDown, syscall.ECONNREFUSED, 5, ""},
		{ctl.HealthDown, nil, 1, ""},
		{ctl.HealthDown, nil, 2, one + " down->up <nil>;"},
	} {
		t.Run(fmt.Sprintf("%s %v %d", test.health, test.err, test.rounds), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.set(one, test.err)
				c, _ := w.checker(t)
				c.Set([]ctl.CheckedBackend{backend(one, test.health)})
				w.rounds(test.rounds)
				if got := told(c); got != test.want {
					t.Errorf("%q, want %q", got, test.want)
				}
			})
		})
	}
}

// What cannot be recorded is told again, and what has changed meanwhile from what it was
// before. What is known already, and is not told yet, is not forgotten over what the
// kernel holds.
func TestChangesAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.set(one, syscall.ECONNREFUSED)
		c, _ := w.checker(t)
		c.Set([]ctl.CheckedBackend{backend(one, ctl.HealthUp)})
		w.rounds(3)
		synctest.Wait()
		changes := c.Take()
		c.GiveBack(changes)
		if got, want := told(c), one+" up->down connection refused;"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		w.set(one, nil)
		w.rounds(2)
		c.GiveBack(changes)
		if got, want := told(c), one+" up->up <nil>;"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		w.set(one, syscall.ECONNREFUSED)
		w.rounds(3)
		synctest.Wait()
		c.Set([]ctl.CheckedBackend{backend(one, ctl.HealthUp)})
		w.set(one, nil)
		w.rounds(2)
		if got, want := told(c), one+" up->up <nil>;"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		// Somebody has added the forward anew, of which nothing is known.
		c.Set([]ctl.CheckedBackend{backend(one, "")})
		w.rounds(1)
		if got, want := told(c), one+" ->up <nil>;"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		w.set(one, syscall.ECONNREFUSED)
		w.rounds(3)
		synctest.Wait()
		c.Set(nil)
		c.GiveBack(changes)
		if got := told(c); got != "" {
			t.Errorf("of a backend that is gone: %q", got)
		}
	})
}

// Checks of one backend are an interval apart, more or less, and the first comes within
// the first interval. Those of many are spread over it.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		c, _ := w.checker(t)
		var all []ctl.CheckedBackend
		for i := range 200 {
			all = append(all, backend(fmt.Sprintf("10.0.0.%d:80", i+1), ""))
		}
		begin := time.Now()
		c.Set(all)
		time.Sleep(100 * time.Second)
		var tenths [10]int
		shortest, longest := time.Hour, time.Duration(0)
		for _, b := range all {
			times := w.times(b.Targets[0].String())
			if len(times) < 8 {
				t.Fatalf("%s was asked %d times in 100 s", b.Backend.Place(), len(times))
			}
			tenths[min(9, times[0].Sub(begin)/time.Second)]++
			if first := times[0].Sub(begin); first > check.Interval {
				t.Errorf("the first check came after %s", first)
			}
			for i := 1; i < len(times); i++ {
				apart := times[i].Sub(times[i-1])
				shortest, longest = min(shortest, apart), max(longest, apart)
			}
		}
		if shortest < 9*time.Second || longest > 11*time.Second {
			t.Errorf("checks are between %s and %s apart", shortest, longest)
		}
		if shortest > 9500*time.Millisecond || longest < 10500*time.Millisecond {
			t.Errorf("checks are never less than %s and more than %s apart", shortest, longest)
		}
		for i, n := range tenths {
			// 20 are to be expected; by chance there are less than 3 once in a million tries.
			if n < 3 || n > 45 {
				t.Errorf("%d of 200 checks begin in second %d: %v", n, i, tenths)
			}
		}
	})
}

// Not more than so many are under way at once, and the others have their turn.
func TestNotAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.wait = 9 * time.Second
		c, _ := w.checker(t)
		var all []ctl.CheckedBackend
		for i := range 4 * mostAtOnce {
			b := backend(fmt.Sprintf("10.0.%d.%d:80", i/250, i%250+1), "")
			b.Check.Timeout = b.Check.Interval
			all = append(all, b)
		}
		c.Set(all)
		time.Sleep(time.Minute)
		for _, b := range all {
			if len(w.times(b.Targets[0].String())) == 0 {
				t.Fatalf("%s was never asked", b.Backend.Place())
			}
		}
		if w.most != mostAtOnce {
			t.Errorf("%d were asked at once, want %d", w.most, mostAtOnce)
		}
	})
}

// Backends that come are checked, those that go are not; what stays goes on as it was, and
// what is checked in another way begins anew.
func TestSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.set(one, syscall.ECONNREFUSED)
		const two = "10.0.0.2:80"
		c, _ := w.checker(t)
		c.Set([]ctl.CheckedBackend{backend(one, ctl.HealthUp)})
		w.rounds(2)
		c.Set([]ctl.CheckedBackend{backend(two, ""), backend(one, ctl.HealthUp)})
		w.rounds(1)
		time.Sleep(check.Interval)
		if got := told(c); got != one+" up->down connection refused;"+two+" ->up <nil>;" && got != two+" ->up <nil>;"+one+" up->down connection refused;" {
			t.Errorf("%q", got)
		}
		often := backend(two, ctl.HealthUp)
		often.Check.Interval = time.Second
		c.Set([]ctl.CheckedBackend{often})
		before := [2]int{len(w.times(one)), len(w.times(two))}
		time.Sleep(100 * time.Second)
		if n := len(w.times(one)) - before[0]; n != 0 {
			t.Errorf("what is gone was asked %d times", n)
		}
		if n := len(w.times(two)) - before[1]; n < 85 || n > 115 {
			t.Errorf("what is checked every second was asked %d times in 100 s", n)
		}
	})
}

// What this host has run out of says nothing about a backend.
func TestHindrance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		c, n := w.checker(t)
		c.Set([]ctl.CheckedBackend{backend(one, ctl.HealthUp)})
		w.rounds(1)
		for _, err := range []error{syscall.EMFILE, fmt.Errorf("dial: %w", ctl.ErrNoSocket)} {
			w.set(one, err)
			w.rounds(10)
		}
		w.set(one, nil)
		w.rounds(1)
		if got := told(c); got != "" {
			t.Errorf("%q", got)
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.none != 20 || n.failures != 0 || n.successes != 2 {
			t.Errorf("%d were hindered, %d failed, %d did not", n.none, n.failures, n.successes)
		}
	})
}

// A target that refuses is followed by the next; one that answers, or does not in time, is
// the last.
func TestTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			first     error
			up, asked bool
		}{
			"answers":   {nil, true, false},
			"refuses":   {syscall.ECONNREFUSED, true, true},
			"is silent": {errors.New("silence"), false, false},
		} {
			w := newWorld()
			w.set("127.0.0.1:80", test.first)
			c, _ := w.checker(t)
			b := backend(one, "")
			b.Check.Fall = 1
			b.Targets = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:80"), netip.MustParseAddrPort("[::1]:80")}
			c.Set([]ctl.CheckedBackend{b})
			time.Sleep(check.Interval)
			synctest.Wait()
			changes := c.Take()
			if len(changes) != 1 || (changes[0].Health == ctl.HealthUp) != test.up {
				t.Errorf("%s: %v", name, changes)
			}
			if asked := len(w.times("[::1]:80")) > 0; asked != test.asked {
				t.Errorf("%s: the second was asked: %v", name, asked)
			}
		}
	})
}
