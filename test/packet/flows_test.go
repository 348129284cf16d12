// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/xfwd/xfwd/bpf"
	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// flows is a step that looks at the flow table: how many flows are in each of
// its parts.
type flows struct{ Transitory, Established int }

func (want flows) take(r *run) {
	r.Helper()
	var got flows
	err := r.set.Flows(func(f xfwd.Flow) bool {
		if f.Established {
			got.Established++
		} else {
			got.Transitory++
		}
		return true
	})
	if err != nil {
		r.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.Errorf("flows (-want +got):\n%s", diff)
	}
}

// table is one of the two maps of the flow table.
type table map[bpf.XfwdTuple]bpf.XfwdFlow

func (r *run) table(m *ebpf.Map) table {
	r.Helper()
	all, err := dump[bpf.XfwdTuple, bpf.XfwdFlow](m)
	if err != nil {
		r.Fatalf("reading %v: %v", m, err)
	}
	return all
}

// checkPairs checks that every flow has both of its entries, in the same map,
// each the other's reverse. What is in the transitory map and in the established
// one, too, is looked for in the latter.
func (r *run) checkPairs() {
	r.Helper()
	if r.unpaired {
		return
	}
	if err := pairs(r.table(r.maps.FlowsEstablished), r.table(r.maps.FlowsTransitory)); err != nil {
		r.Error(err)
	}
}

// flowTables are the two maps of the flow table, at their numbers.
func (w *world) flowTables() [2]*ebpf.Map {
	return [2]*ebpf.Map{xfwd.Established: w.maps.FlowsEstablished, xfwd.Transitory: w.maps.FlowsTransitory}
}

// checkEntries checks that the programs count what they insert and delete: so nothing is
// missing but what was evicted.
func (r *run) checkEntries() {
	r.Helper()
	if r.crowded {
		return
	}
	if err := r.accountFor(r.evicted); err != nil {
		r.Error(err)
	}
}

// accountFor is an error unless these entries, and no others, have been inserted and are
// neither deleted nor there.
func (w *world) accountFor(evicted xfwd.Entries) error {
	for table, m := range w.flowTables() {
		there, err := dump[bpf.XfwdTuple, bpf.XfwdFlow](m)
		if err != nil {
			return err
		}
		var perCPU []bpf.XfwdTableChanges
		var account bpf.XfwdTableAccount
		if err := errors.Join(w.maps.TableChanges.Lookup(uint32(table), &perCPU), w.maps.TableAccounts.Lookup(uint32(table), &account)); err != nil {
			return err
		}
		inserted, deleted := account.Inserted, uint64(0)
		for _, c := range perCPU {
			inserted, deleted = inserted+c.Inserted, deleted+c.Deleted
		}
		if missing := inserted - deleted - account.Deleted - uint64(len(there)); missing != evicted[table] {
			return fmt.Errorf("of %d entries that were inserted in flow table %d, the programs have deleted %d, commands %d, and %d are there: %d are missing, want %d",
				inserted, table, deleted, account.Deleted, len(there), int64(missing), evicted[table])
		}
	}
	return nil
}

// pairs is an error for each entry of the flow table that is not one of two.
func pairs(established, transitory table) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for key, shadow := range transitory {
		if flow, both := established[key]; both {
			if shadow.To != flow.To {
				wrong("behind flow entry %+v is one of another flow, to %+v", key, shadow.To)
			}
			delete(transitory, key)
		}
	}
	for _, t := range []table{established, transitory} {
		for key, flow := range t {
			partner, found := t[reversed(flow.To)]
			switch {
			case !found:
				wrong("flow entry %+v has no partner: %+v", key, flow)
			case partner.To != reversed(key):
				wrong("the partner of flow entry %+v translates to %+v", key, partner.To)
			case (partner.Flags^flow.Flags)&uint8(bpf.XfwdFlowFlagFLOW_ELSEWHERE) != 0:
				wrong("flow entry %+v and its partner do not agree whether the target is here", key)
			case (partner.Flags^flow.Flags)&uint8(bpf.XfwdFlowFlagFLOW_REVERSE) == 0:
				wrong("flow entry %+v and its partner have the same direction", key)
			}
		}
	}
	return errors.Join(errs...)
}

// tupleOf is the key of a packet's flow entry.
func tupleOf(p packet, f family) bpf.XfwdTuple {
	return bpf.XfwdTuple{
		Source: kernelAddress(p.from.address(f)), Destination: kernelAddress(p.to.address(f)),
		SourcePort: kernelPort(p.from.port), DestinationPort: kernelPort(p.to.port),
		Protocol: uint8(p.body.protocol(f)),
	}
}

// kernelAddress is an address as the programs have it.
func kernelAddress(a netip.Addr) bpf.XfwdAddress {
	var k bpf.XfwdAddress
	b := a.As16()
	for i := range k.Word {
		k.Word[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return k
}

// addressOf is the inverse of kernelAddress.
func addressOf(k bpf.XfwdAddress) netip.Addr {
	var b [16]byte
	for i, word := range k.Word {
		binary.NativeEndian.PutUint32(b[4*i:], word)
	}
	return netip.AddrFrom16(b).Unmap()
}

// kernelPort is a port in network order.
func kernelPort(port int) uint16 {
	return binary.NativeEndian.Uint16([]byte{byte(port >> 8), byte(port)})
}

func reversed(t bpf.XfwdTuple) bpf.XfwdTuple {
	t.Source, t.Destination = t.Destination, t.Source
	t.SourcePort, t.DestinationPort = t.DestinationPort, t.SourcePort
	return t
}

// idle is a step: a time passes in which nothing comes.
type idle time.Duration

func (d idle) take(r *run) {
	r.Helper()
	for _, m := range []*ebpf.Map{r.maps.FlowsEstablished, r.maps.FlowsTransitory} {
		for key, flow := range r.table(m) {
			flow.LastSeen = d.before(r, flow.LastSeen)
			if flow.Hop.Ifindex != 0 {
				flow.Hop.Resolved = d.before(r, flow.Hop.Resolved)
			}
			if err := m.Update(key, flow, ebpf.UpdateExist); err != nil {
				r.Fatal(err)
			}
		}
	}
	var key bpf.XfwdFragmentKey
	var value bpf.XfwdFragment
	fragments := r.maps.Fragments.Iterate()
	for fragments.Next(&key, &value) {
		value.Seen = d.before(r, value.Seen)
		if err := r.maps.Fragments.Update(key, value, ebpf.UpdateExist); err != nil {
			r.Fatal(err)
		}
	}
	if err := fragments.Err(); err != nil {
		r.Fatal(err)
	}
}

// before is a time of the programs' clock, as much earlier.
func (d idle) before(r *run, moment uint64) uint64 {
	r.Helper()
	earlier := int64(moment) - int64(d)
	if earlier < 0 {
		r.Fatalf("the machine has not been up for %v", time.Duration(d))
	}
	return uint64(earlier)
}

// entry is one of the two of a flow.
type entry struct {
	key         bpf.XfwdTuple
	flow        bpf.XfwdFlow
	established bool
}

// evict is a step: the kernel evicts entries, as it may from such maps.
func evict(which func(entry) bool) step {
	return does(func(r *run) {
		r.Helper()
		for table, m := range r.flowTables() {
			for key, flow := range r.table(m) {
				if !which(entry{key, flow, table == xfwd.Established}) {
					continue
				}
				if err := m.Delete(key); err != nil {
					r.Fatal(err)
				}
				r.evicted[table]++
			}
		}
	})
}
