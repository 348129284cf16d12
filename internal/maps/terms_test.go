// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"math"
	"testing"
	"time"
)

func TestEnds(t *testing.T) {
	now := time.Date(2030, 12, 31, 23, 59, 0, 0, time.UTC)
	e := ends{monotonic: time.Hour, now: now}
	for moment, want := range map[time.Time]uint64{
		{}:                                  math.MaxUint64,
		now:                                 uint64(time.Hour),
		now.Add(time.Minute):                uint64(time.Hour + time.Minute),
		now.Add(-time.Minute):               uint64(time.Hour - time.Minute),
		now.Add(-2 * time.Hour):             0,
		time.Unix(0, 0):                     0,
		now.AddDate(1000, 0, 0):             math.MaxInt64,
		now.AddDate(-1000, 0, 0):            0,
		now.Add(math.MaxInt64 - 1):          math.MaxInt64,
		now.Add(290 * 365 * 24 * time.Hour): uint64(time.Hour + 290*365*24*time.Hour),
	} {
		if got := e.of(moment); got != want {
			t.Errorf("%v is %d, want %d", moment, got, want)
		}
	}
}
