// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/internal/ctl"
	xfwd "github.com/xfwd/xfwd/internal/maps"
	"github.com/xfwd/xfwd/test/lab"
)

func loadSpec(tb lab.TB) *ebpf.CollectionSpec {
	tb.Helper()
	spec, err := bpf.LoadXfwd()
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return spec
}

// shared are the structures that programs and control plane share.
var shared = map[string]reflect.Type{
	"address":            reflect.TypeFor[bpf.XfwdAddress](),
	"tuple":              reflect.TypeFor[bpf.XfwdTuple](),
	"next_hop":           reflect.TypeOf(bpf.XfwdFlow{}.Hop),
	"flow":               reflect.TypeFor[bpf.XfwdFlow](),
	"known_address":      reflect.TypeFor[bpf.XfwdKnownAddress](),
	"local_prefix_key":   reflect.TypeFor[bpf.XfwdLocalPrefixKey](),
	"frontend_key":       reflect.TypeFor[bpf.XfwdFrontendKey](),
	"frontend_range_key": reflect.TypeFor[bpf.XfwdFrontendRangeKey](),
	"frontend":           reflect.TypeFor[bpf.XfwdFrontend](),
	"pool":               reflect.TypeOf(bpf.XfwdForward{}.Pools[0][0]),
	"forward":            reflect.TypeFor[bpf.XfwdForward](),
	"forward_info":       reflect.TypeFor[bpf.XfwdForwardInfo](),
	"backend":            reflect.TypeFor[bpf.XfwdBackend](),
	"backend_info":       reflect.TypeFor[bpf.XfwdBackendInfo](),
	"affinity_key":       reflect.TypeFor[bpf.XfwdAffinityKey](),
	"answer_buckets":     reflect.TypeFor[bpf.XfwdAnswerBuckets](),
	"affinity":           reflect.TypeFor[bpf.XfwdAffinity](),
	"group_backend_key":  reflect.TypeFor[bpf.XfwdGroupBackendKey](),
	"group_backend":      reflect.TypeFor[bpf.XfwdGroupBackend](),
	"source_pool_key":    reflect.TypeFor[bpf.XfwdSourcePoolKey](),
	"source_pool":        reflect.TypeFor[bpf.XfwdSourcePool](),
	"port_set":           reflect.TypeFor[bpf.XfwdPortSet](),
	"device":             reflect.TypeFor[bpf.XfwdDevice](),
	"settings":           reflect.TypeFor[bpf.XfwdSettings](),
	"fragment_key":       reflect.TypeFor[bpf.XfwdFragmentKey](),
	"fragment":           reflect.TypeFor[bpf.XfwdFragment](),
	"socket_peer_key":    reflect.TypeFor[bpf.XfwdSocketPeerKey](),
	"socket_peer":        reflect.TypeFor[bpf.XfwdSocketPeer](),
	"listener":           reflect.TypeFor[bpf.XfwdListener](),
	"counters":           reflect.TypeFor[bpf.XfwdCounters](),
	"forward_reason_key": reflect.TypeFor[bpf.XfwdForwardReasonKey](),
	"check":              reflect.TypeFor[bpf.XfwdCheck](),
	"setup_times":        reflect.TypeFor[bpf.XfwdSetupTimes](),
	"table_changes":      reflect.TypeFor[bpf.XfwdTableChanges](),
	"table_account":      reflect.TypeFor[bpf.XfwdTableAccount](),
	"mark":               reflect.TypeFor[bpf.XfwdMark](),
}

func TestLayoutOfStructures(t *testing.T) {
	spec := loadSpec(t)
	for name, goType := range shared {
		var c *btf.Struct
		if err := spec.Types.TypeByName(name, &c); err != nil {
			t.Errorf("struct %s: %v", name, err)
			continue
		}
		if uint32(goType.Size()) != c.Size {
			t.Errorf("struct %s has %d bytes, %v has %d", name, c.Size, goType, goType.Size())
		}
		end := uint32(0)
		for _, m := range c.Members {
			if m.Offset.Bytes() != end {
				t.Errorf("struct %s has a hole before %s, which would not be compared or zeroed", name, m.Name)
			}
			size, err := btf.Sizeof(m.Type)
			if err != nil {
				t.Fatal(err)
			}
			end = m.Offset.Bytes() + uint32(size)
			// bpf2go has no name for padding.
			if m.Name == "pad" {
				continue
			}
			field, found := goType.FieldByName(camelCase(m.Name))
			switch {
			case !found:
				t.Errorf("%v has no %s", goType, m.Name)
			case uint32(field.Offset) != m.Offset.Bytes() || uint32(field.Type.Size()) != uint32(size):
				t.Errorf("%v.%s is at %d with %d bytes, in C at %d with %d",
					goType, field.Name, field.Offset, field.Type.Size(), m.Offset.Bytes(), size)
			}
		}
		if end != c.Size {
			t.Errorf("struct %s ends with a hole", name)
		}
	}
}

// The keys and values of all maps are among the structures compared above, or
// are numbers.
func TestLayoutOfMaps(t *testing.T) {
	for name, m := range loadSpec(t).Maps {
		for _, part := range []btf.Type{m.Key, m.Value} {
			s, isStruct := btf.As[*btf.Struct](part)
			if !isStruct || name == "scratches" {
				continue
			}
			if _, compared := shared[s.Name]; !compared {
				t.Errorf("struct %s of map %s is not compared with its Go type", s.Name, name)
			}
		}
	}
}

// camelCase is how bpf2go writes a name of C.
func camelCase(name string) string {
	var b strings.Builder
	for _, word := range strings.Split(name, "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// What users see as a reason is its name in C, without REASON_, in lower case
// and with hyphens. The number of a reason that only a newer build has is its name, and
// tells passes from drops.
func TestNamesOfReasons(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var reasons *btf.Enum
	if err := loadSpec(t).Types.TypeByName("reason", &reasons); err != nil {
		t.Fatal(err)
	}
	want := make(map[string]uint64)
	// Each reason gets a number of its own.
	count := func(reason uint64, name string) {
		t.Helper()
		perCPU := make([]uint64, ebpf.MustPossibleCPU())
		perCPU[0] = 1000 + reason
		if err := w.maps.Reasons.Put(uint32(reason), perCPU); err != nil {
			t.Fatal(err)
		}
		want[name] = perCPU[0]
	}
	for _, value := range reasons.Values {
		if value.Name != "REASON_COUNT" {
			count(value.Value, strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value.Name, "REASON_")), "_", "-"))
		}
	}
	const firstDrop, room = 32, 64
	count(firstDrop-1, "reason-31")
	count(room-1, "reason-63")
	passes, drops, err := w.set.Reasons()
	if err != nil {
		t.Fatal(err)
	}
	for name, packets := range passes {
		if packets >= 1000+firstDrop {
			t.Errorf("reason %s is a pass, want a drop", name)
		}
	}
	for name, packets := range drops {
		if packets < 1000+firstDrop {
			t.Errorf("reason %s is a drop, want a pass", name)
		}
		passes[name] = packets
	}
	if !maps.Equal(passes, want) {
		t.Errorf("the reasons are %v, want %v", passes, want)
	}
}

// The timeouts that the control plane repeats are those of the programs.
func TestTimeouts(t *testing.T) {
	spec := loadSpec(t)
	timeout := func(name string) time.Duration {
		var ns uint64
		if err := spec.Variables[name].Get(&ns); err != nil {
			t.Fatal(err)
		}
		return time.Duration(ns)
	}
	tcp, udp := uint8(ctl.TCP), uint8(ctl.UDP)
	for name, c := range map[string]struct {
		flow xfwd.Flow
		// RFC 5382, REQ-5 and RFC 4787, REQ-5.
		atLeast time.Duration
	}{
		"tcp_established_timeout": {xfwd.Flow{Client: xfwd.Tuple{Protocol: tcp}, Established: true, Answered: true}, 124 * time.Minute},
		"tcp_transitory_timeout":  {xfwd.Flow{Client: xfwd.Tuple{Protocol: tcp}, Answered: true}, 4 * time.Minute},
		"udp_answered_timeout":    {xfwd.Flow{Client: xfwd.Tuple{Protocol: udp}, Answered: true}, 5 * time.Minute},
		"udp_brief_timeout":       {xfwd.Flow{Client: xfwd.Tuple{Protocol: udp}, Answered: true, Brief: true}, 5 * time.Second},
		"udp_one_way_timeout":     {xfwd.Flow{Client: xfwd.Tuple{Protocol: udp}}, 2 * time.Minute},
	} {
		limit := timeout(name)
		if limit < c.atLeast {
			t.Errorf("%s is %v, the RFC wants %v", name, limit, c.atLeast)
		}
		c.flow.Idle = limit
		if c.flow.Expired() {
			t.Errorf("%s: for the control plane a flow has expired after %v", name, limit)
		}
		c.flow.Idle++
		if !c.flow.Expired() {
			t.Errorf("%s: for the control plane a flow lives longer than %v", name, limit)
		}
	}
}
