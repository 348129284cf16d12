// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/xfwd/xfwd/bpf"
)

// The buckets of SetupTimes, of abi.h. They are those of Prometheus's native histograms
// of schema SetupSchema, of which the first has the index SetupFirst: up to 2^(index/4)
// seconds.
const (
	SetupSchema = 2
	SetupFirst  = -72
)

// SetupTimes is how long the targets of a forward took to accept connections.
type SetupTimes struct {
	Sum time.Duration
	// Buckets counts connections by the index of the native histogram; those that
	// have none are left out.
	Buckets map[int]int64
}

// Connections is how many are counted.
func (t SetupTimes) Connections() uint64 {
	var sum int64
	for _, connections := range t.Buckets {
		sum += connections
	}
	return uint64(sum)
}

// Within is a time within which at least a share of the connections were accepted: the
// upper bound of a bucket, so up to a fifth more than it took. Of none, it is zero.
func (t SetupTimes) Within(share float64) time.Duration {
	wanted := int64(math.Ceil(share * float64(t.Connections())))
	var sum int64
	for _, index := range slices.Sorted(maps.Keys(t.Buckets)) {
		if sum += t.Buckets[index]; sum >= wanted {
			return time.Duration(math.Exp2(float64(index)/(1<<SetupSchema)) * float64(time.Second))
		}
	}
	return 0
}

// SetupTimes reads those of all forwards over TCP that have any.
func (s *Set) SetupTimes() (map[uint32]SetupTimes, error) {
	all := make(map[uint32]SetupTimes)
	err := batches(s.maps.SetupTimes, func(forward uint32, k bpf.XfwdSetupTimes) bool {
		times := SetupTimes{Sum: time.Duration(k.Sum), Buckets: make(map[int]int64)}
		for i, connections := range k.Buckets {
			if connections > 0 {
				times.Buckets[SetupFirst+i] = int64(connections)
			}
		}
		if len(times.Buckets) > 0 {
			all[forward] = times
		}
		return true
	})
	return all, err
}

// ResetSetupTimes makes ids ready for new forwards over TCP.
func (s *Set) ResetSetupTimes(forwards []uint32) error {
	return putAll(s.maps.SetupTimes, forwards, make([]bpf.XfwdSetupTimes, len(forwards)))
}
