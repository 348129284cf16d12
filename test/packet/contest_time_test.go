// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
)

// tick is the unit in which time passes. For no timeout is a number of ticks just
// under it, so the time that the programs really take changes nothing, as long as
// it is less than slack.
const (
	tick  = 700 * time.Millisecond
	slack = 200 * time.Millisecond
)

// oldest is the greatest age that is told to the programs; it is more than all
// timeouts.
const oldest = 20 * time.Second

// waitForAge: no flow can be older than the machine.
func waitForAge() {
	if young := 2*oldest - time.Duration(monotonic()); young > 0 {
		time.Sleep(young)
	}
}

// waitSome lets some time pass.
func (c *contest) waitSome() error {
	ticks := one(c.dice, 1, 1, 1, 2, 3, 5, 6, 8, 9, 12, 15, 24)
	c.note(noted(fmt.Sprintf("%v pass", time.Duration(ticks)*tick)))
	return c.wait(time.Duration(ticks) * tick)
}

// wait makes everything older in the maps by a time, as if no other had passed
// since the last wait. Then all that may be sent in answer may be sent again.
func (c *contest) wait(passed time.Duration) error {
	now := monotonic()
	older := func(at uint64) uint64 {
		if at < c.synced {
			at += now - c.synced
		} else {
			at = now
		}
		return now - min(now-at+uint64(passed), uint64(oldest))
	}
	for _, m := range []*ebpf.Map{c.maps.FlowsEstablished, c.maps.FlowsTransitory} {
		err := revise(m, func(_ bpf.XfwdTuple, f *bpf.XfwdFlow) {
			f.LastSeen = older(f.LastSeen)
			if f.Hop.Ifindex != 0 {
				f.Hop.Resolved = older(f.Hop.Resolved)
			}
		})
		if err != nil {
			return err
		}
	}
	if err := revise(c.maps.Fragments, func(_ bpf.XfwdFragmentKey, f *bpf.XfwdFragment) { f.Seen = older(f.Seen) }); err != nil {
		return err
	}
	for _, m := range []*ebpf.Map{c.maps.Affinities, c.maps.NewAffinities} {
		if err := revise(m, func(_ bpf.XfwdAffinityKey, a *bpf.XfwdAffinity) { a.LastUsed = older(a.LastUsed) }); err != nil {
			return err
		}
	}
	if err := c.allowAnswers(); err != nil {
		return err
	}
	c.synced = now
	c.model.Wait(passed)
	return nil
}

// revise changes all values of a map.
func revise[K comparable, V any](m *ebpf.Map, change func(K, *V)) error {
	all, err := dump[K, V](m)
	if err != nil || len(all) == 0 {
		return err
	}
	keys, values := make([]K, 0, len(all)), make([]V, 0, len(all))
	for key, value := range all {
		change(key, &value)
		keys, values = append(keys, key), append(values, value)
	}
	_, err = m.BatchUpdate(keys, values, nil)
	return err
}

// dump reads a map at once.
func dump[K comparable, V any](m *ebpf.Map) (map[K]V, error) {
	all := make(map[K]V)
	var cursor ebpf.MapBatchCursor
	keys, values := make([]K, 512), make([]V, 512)
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			all[keys[i]] = values[i]
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// allowAnswers lets the programs answer as if they had not for long.
func (w *world) allowAnswers() error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	// Its value begins with the times when all may be sent again.
	room := make([][]byte, cpus)
	for i := range room {
		room[i] = make([]byte, w.maps.Answers.ValueSize())
	}
	clients, err := dump[bpf.XfwdAddress, [8]uint64](w.maps.AnsweredClients)
	for client := range clients {
		err = errors.Join(err, w.maps.AnsweredClients.Delete(client))
	}
	return errors.Join(err, w.maps.Answers.Put(uint32(0), room))
}
