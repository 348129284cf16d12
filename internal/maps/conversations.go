// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
)

// Conversation is one that is none of a forward's: of a socket of this host, or one
// that netfilter translates here.
type Conversation struct {
	// Arriving is what packets bear that arrive; those that leave bear the reverse.
	Arriving Tuple
	// Established: both ends have spoken.
	Established bool
	// FinForward and FinReverse: TCP has been closed by the other end, or by ours.
	FinForward, FinReverse bool
}

// KeepConversations notes conversations in the flow table, so that their packets are
// left alone. One that has the tuple of a flow is that flow's.
func (s *Set) KeepConversations(conversations []Conversation) error {
	if len(conversations) == 0 {
		return nil
	}
	now, err := monotonic()
	if err != nil {
		return err
	}
	var inserted Entries
	for _, c := range conversations {
		if err = s.keepConversation(c, uint64(now), &inserted); err != nil {
			break
		}
	}
	return errors.Join(err, s.accountInserted(inserted))
}

func (s *Set) keepConversation(c Conversation, now uint64, inserted *Entries) error {
	arriving := tupleToKernel(c.Arriving)
	leaving := reversed(arriving)
	for _, m := range s.flowTables() {
		for _, key := range []bpf.XfwdTuple{arriving, leaving} {
			var k bpf.XfwdFlow
			switch err := m.Lookup(key, &k); {
			case err == nil:
				return nil
			case !errors.Is(err, ebpf.ErrKeyNotExist):
				return fmt.Errorf("read map %s: %w", m, err)
			}
		}
	}
	flow := bpf.XfwdFlow{To: arriving, LastSeen: now, Flags: c.flags()}
	reverse := bpf.XfwdFlow{To: leaving, LastSeen: now, Flags: flow.Flags | uint8(bpf.XfwdFlowFlagFLOW_REVERSE)}
	// As the programs do: what arrives is claimed first, and what is established
	// leaves shadows among the transitory entries.
	tables := []int{Transitory}
	if c.Established {
		tables = append(tables, Established)
	}
	for _, table := range tables {
		shadow := uint8(0)
		if c.Established && table == Transitory {
			shadow = uint8(bpf.XfwdFlowFlagFLOW_SHADOW)
		}
		for _, entry := range []struct {
			key  bpf.XfwdTuple
			flow bpf.XfwdFlow
		}{{leaving, reverse}, {arriving, flow}} {
			entry.flow.Flags |= shadow
			m := s.flowTables()[table]
			switch err := m.Update(entry.key, entry.flow, ebpf.UpdateNoExist); {
			case errors.Is(err, ebpf.ErrKeyExist):
				return nil // a packet was faster
			case err != nil:
				return fmt.Errorf("write map %s: %w", m, err)
			}
			inserted[table]++
		}
	}
	return nil
}

func (c Conversation) flags() uint8 {
	var flags bpf.XfwdFlowFlag
	if c.Established {
		flags |= bpf.XfwdFlowFlagFLOW_ANSWERED
	}
	if c.FinForward {
		flags |= bpf.XfwdFlowFlagFLOW_FIN_FORWARD
	}
	if c.FinReverse {
		flags |= bpf.XfwdFlowFlagFLOW_FIN_REVERSE
	}
	return uint8(flags)
}

// accountInserted notes how many entries a command has made itself. It does so
// afterwards: what it made is never taken for evicted.
func (s *Set) accountInserted(inserted Entries) error {
	for table, n := range inserted {
		if n == 0 {
			continue
		}
		a, err := s.account(table)
		if err != nil {
			return err
		}
		a.Inserted += n
		if err := put(s.maps.TableAccounts, uint32(table), a); err != nil {
			return err
		}
	}
	return nil
}

func tupleToKernel(t Tuple) bpf.XfwdTuple {
	return bpf.XfwdTuple{
		Source:          addressToKernel(t.Source.Addr()),
		Destination:     addressToKernel(t.Destination.Addr()),
		SourcePort:      portToKernel(t.Source.Port()),
		DestinationPort: portToKernel(t.Destination.Port()),
		Protocol:        t.Protocol,
	}
}
