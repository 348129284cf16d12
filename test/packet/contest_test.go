// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/internal/ctl"
	xfwd "github.com/xfwd/xfwd/internal/maps"
	"github.com/xfwd/xfwd/test/lab"
	"github.com/xfwd/xfwd/test/model"
)

// contest has the programs and the model do the same, and compares.
type contest struct {
	*world
	dice  dice
	model *model.Model
	// synced is when the times in the maps were last shifted, in nanoseconds of
	// the programs' clock.
	synced uint64
	// tally is what the programs had counted by the last look.
	tally tally
	// refusal is what the programs have said of the packet that the model is asked
	// about now, if it is refused.
	refusal model.Refusal
	// log is what has been done, the latest at the end.
	log []fmt.Stringer
}

// contestFlows is the size of the flow table: the kernel never forgets any of the
// few flows that a contest has.
const contestFlows = 4096

// contestTimeouts are those of the programs. No time in a contest comes closer to
// one than slack, for these go on while it is held; see tick.
var contestTimeouts = model.Timeouts{
	TCPEstablished: 16 * time.Second,
	TCPTransitory:  4 * time.Second,
	UDPAnswered:    8 * time.Second,
	UDPOneWay:      6 * time.Second,
	UDPBrief:       3200 * time.Millisecond,
	Unconfirmed:    2500 * time.Millisecond,
	Fragment:       3 * time.Second,
	TimeWait:       5200 * time.Millisecond,
	Refresh:        1 * time.Second,
	NextHop:        2 * time.Second,
	Neighbour:      3 * time.Second,
}

// commandTimeouts are those of the real programs, as far as the command heeds them.
var commandTimeouts = model.Timeouts{
	TCPEstablished: 7440 * time.Second,
	TCPTransitory:  240 * time.Second,
	UDPAnswered:    300 * time.Second,
	UDPOneWay:      120 * time.Second,
	UDPBrief:       5 * time.Second,
}

// newContestWorld is a world with programs that have the contest's timeouts; they
// are those of an object file, if there is a name, or else the real ones.
func newContestWorld(t testing.TB, object string) *world {
	t.Helper()
	waitForAge()
	w := newWorldFor(&everyTest, contestFlows)
	w.addContestRules(&everyTest)
	w.furnish()
	learnReasons(w.set, w.maps.Reasons)
	spec, err := bpf.LoadXfwd()
	if object != "" {
		spec, err = ebpf.LoadCollectionSpec(object)
	}
	if err != nil {
		t.Fatal(err)
	}
	setTimeouts(t, spec, map[string]time.Duration{
		"tcp_established_timeout": contestTimeouts.TCPEstablished,
		"tcp_transitory_timeout":  contestTimeouts.TCPTransitory,
		"udp_answered_timeout":    contestTimeouts.UDPAnswered,
		"udp_one_way_timeout":     contestTimeouts.UDPOneWay,
		"udp_brief_timeout":       contestTimeouts.UDPBrief,
		"unconfirmed_patience":    contestTimeouts.Unconfirmed,
		"fragment_timeout":        contestTimeouts.Fragment,
		"tcp_time_wait":           contestTimeouts.TimeWait,
		"refresh_interval":        contestTimeouts.Refresh,
		"next_hop_timeout":        contestTimeouts.NextHop,
		"neighbour_patience":      contestTimeouts.Neighbour,
	})
	w.usePrograms(&everyTest, spec)
	for _, s := range contestSockets() {
		kind := unix.SOCK_STREAM
		if s.Protocol == unix.IPPROTO_UDP {
			kind = unix.SOCK_DGRAM
		}
		lab.Eventually(&everyTest, lab.Patience, func() error { return w.isLocal(s.Destination.Addr()) })
		w.connected(&everyTest, kind, s.Destination, s.Source)
	}
	return w
}

// contestSockets are the connections that sockets of the host have in a contest, as
// packets that they receive bear them.
func contestSockets() []model.Tuple {
	var all []model.Tuple
	for _, f := range bothFamilies {
		for _, s := range [][2]endpoint{{client.at(40001), host.at(80)}, {client.at(31000), second.at(30080)}, {remote.at(8080), second.at(12000)}} {
			for _, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
				all = append(all, model.Tuple{
					Source:      netip.AddrPortFrom(s[0].address(f), uint16(s[0].port)),
					Destination: netip.AddrPortFrom(s[1].address(f), uint16(s[1].port)),
					Protocol:    protocol,
				})
			}
		}
	}
	return all
}

// newContest begins one without forwards and flows.
func newContest(t testing.TB, w *world, d dice) (*contest, error) {
	c := &contest{world: w, dice: d}
	w.forget(t)
	w.change(t, ctl.Delete(nil, true), ctl.ExistingKeep)
	if !w.router {
		w.route(true)
	}
	c.certain = d.roll(3) > 0
	w.filters = make(map[string]xfwd.SourceFilter)
	for _, name := range []string{"eth0", "eth1", "pod0"} {
		w.filters[name] = one(d, xfwd.FilterNothing, xfwd.FilterNothing, xfwd.FilterStrictly, xfwd.FilterLoosely)
	}
	if err := w.giveDefault(true); err != nil {
		return nil, err
	}
	c.embody(t)
	host, err := c.host()
	if err != nil {
		return nil, err
	}
	c.model = model.New(host, contestTimeouts, commandTimeouts, c)
	for _, s := range contestSockets() {
		c.model.Sockets[s] = true
	}
	c.synced = monotonic()
	return c, c.look()
}

// run takes steps, until the dice are worn out if there is no number of steps, and
// returns the first difference.
func (c *contest) run(steps int) (taken int, err error) {
	// The programs find the host's routes in the namespace of the thread.
	c.world.host.Do(func() {
		for taken = 0; (steps == 0 || taken < steps) && !c.dice.worn(); taken++ {
			if err = c.step(taken); err != nil {
				err = fmt.Errorf("step %d: %w\nbefore that:\n%s", taken, err, c.history())
				return
			}
		}
		if err = c.compareAll(); err != nil {
			err = fmt.Errorf("at the end: %w\nbefore that:\n%s", err, c.history())
		}
	})
	return taken, err
}

// step takes one.
func (c *contest) step(n int) error {
	if n%compareInterval == compareInterval-1 {
		if err := c.compareAll(); err != nil {
			return err
		}
	}
	if monotonic()-c.synced > uint64(slack/4) {
		if err := c.wait(0); err != nil {
			return err
		}
	}
	switch roll := c.dice.roll(1000); {
	case n < 3 || roll < 2:
		return c.changeForwards()
	case roll < 4:
		return c.changeRoutes()
	case roll < 30:
		return c.waitSome()
	case roll < 36:
		return c.flood()
	}
	return c.send(c.frame())
}

// compareInterval is after how many steps all that is remembered is compared, and
// not only what came out.
const compareInterval = 50

// note logs what is done; only a difference makes it be written.
func (c *contest) note(what fmt.Stringer) {
	const kept = 40
	if len(c.log) == 2*kept {
		c.log = append(c.log[:0], c.log[kept:]...)
	}
	c.log = append(c.log, what)
}

// noted is what was done, in words.
type noted string

func (n noted) String() string { return string(n) }

// history is the log, written, and what forwards there are.
func (c *contest) history() string {
	var b strings.Builder
	forwards, err := c.instance.Forwards(context.Background())
	must(err)
	for _, f := range forwards {
		fmt.Fprintf(&b, "\t%v, source %s, balance %s, affinity %v %s\n", f, f.Source, f.Balance, f.Affinity, f.AffinityGroup)
	}
	for _, what := range c.log {
		fmt.Fprintf(&b, "\t%v\n", what)
	}
	return b.String()
}

// monotonic is the programs' clock, in nanoseconds.
func monotonic() uint64 {
	var ts unix.Timespec
	must(unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts))
	return uint64(ts.Nano())
}

// dice decide what is done.
type dice interface {
	// roll returns a number from 0 to sides-1.
	roll(sides int) int
	// worn says that there is no more to be had.
	worn() bool
}

// one of these, by the dice.
func one[T any](d dice, of ...T) T { return of[d.roll(len(of))] }

var _ model.Chance = (*contest)(nil)
