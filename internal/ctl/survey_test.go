// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"testing"
	"time"

	"github.com/xfwd/xfwd/internal/maps"
)

// What is counted of a backend's connections is what the programs will count off:
// a flow that is not counted any more must not be found by a packet.
func TestSurveyEndsWhatItDoesNotCount(t *testing.T) {
	const id, generation = 1, 3
	tr := &transaction{after: newState(1)}
	tr.after.put(backend{maps.Backend{ID: id, Generation: generation}, maps.BackendInfo{Backend: id, Forward: 1}})
	s := survey{lingering: make(map[uint32]bool), connections: make(map[uint32]int64)}
	udp := maps.Tuple{Protocol: uint8(UDP)}
	tcp := maps.Tuple{Protocol: uint8(TCP)}
	for _, flow := range []maps.Flow{
		{Client: udp, Idle: time.Second},
		{Client: udp, Idle: 10 * time.Minute, Answered: true},
		{Client: tcp, Idle: time.Hour, Established: true},
		{Client: tcp, Idle: time.Hour},
		{Client: tcp, Idle: time.Second, Reset: true},
		{Client: tcp, Idle: time.Hour, Reset: true},
	} {
		flow.Backend, flow.Generation = id, generation
		tr.look(&s, flow, nil)
	}
	if s.connections[id] != 2 {
		t.Errorf("%d connections are counted, want 2", s.connections[id])
	}
	if len(s.ending) != 2 {
		t.Errorf("%d flows are ended, want 2: %+v", len(s.ending), s.ending)
	}
}
