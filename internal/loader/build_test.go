// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
)

func TestTheFlowTableHoldsAsManyFlowsAsItIsMadeFor(t *testing.T) {
	const flows = 5000
	l := newLoader(t)
	write(t, l, func(s *Session) {
		d, err := s.Load(flows)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if d.Settings.MaxFlows != flows {
			t.Errorf("the settings say %d flows, want %d", d.Settings.MaxFlows, flows)
		}
		established, err := ebpf.LoadPinnedMap(filepath.Join(d.directory, mapPins, "flows_established"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer established.Close()
		// A flow is two entries, which no processor's share of the table may lack.
		key, value := make([]byte, established.KeySize()), make([]byte, established.ValueSize())
		for i := range uint32(2 * flows) {
			binary.NativeEndian.PutUint32(key, i)
			if err := established.Put(key, value); err != nil {
				t.Fatal(err)
			}
		}
		lost := 0
		for i := range uint32(2 * flows) {
			binary.NativeEndian.PutUint32(key, i)
			if err := established.Lookup(key, &value); errors.Is(err, ebpf.ErrKeyNotExist) {
				lost++
			}
		}
		if lost > 0 {
			t.Errorf("%d of %d entries are lost", lost, 2*flows)
		}
	})
}

func TestFlowsFromMemoryAreWithinBounds(t *testing.T) {
	if n := flowsFromMemory(); n < fewestFlows || n > mostFlows {
		t.Errorf("this machine's memory gives %d flows, want %d to %d", n, fewestFlows, mostFlows)
	}
}

func TestMaxFlowsThatMakeNoSenseAreRefused(t *testing.T) {
	l := newLoader(t)
	write(t, l, func(s *Session) {
		for _, n := range []uint32{1, 1 << 30} {
			if _, err := s.Load(n); !errors.Is(err, ErrBadMaxFlows) {
				t.Errorf("loading for %d flows gives %v, want %v", n, err, ErrBadMaxFlows)
			}
		}
		if _, err := s.Open(); !errors.Is(err, ErrNotLoaded) {
			t.Errorf("after a refusal, opening gives %v, want %v", err, ErrNotLoaded)
		}
	})
}
