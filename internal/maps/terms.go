// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"math"
	"time"

	"github.com/xfwd/xfwd/bpf"
)

func termsFromKernel(k *bpf.XfwdForward, info *bpf.XfwdForwardInfo, version int, now time.Duration) Terms {
	t := Terms{
		Pools:   poolsFromKernel(k, version),
		Expired: hasExpired(k, version, now),
		Check:   checkFromKernel(&info.Check[version]),
		MSS:     k.Mss[version],
		Own:     Own(k.Own[version]),
	}
	if at := info.ExpiresAt[version]; at != 0 {
		t.ExpiresAt = time.Unix(at, 0).UTC()
	}
	return t
}

func (t Terms) toKernel(k *bpf.XfwdForward, info *bpf.XfwdForwardInfo, version int, ends ends) {
	t.Pools.toKernel(k, version)
	t.Check.toKernel(&info.Check[version])
	k.Own[version] = uint8(t.Own)
	k.Expires[version] = ends.of(t.ExpiresAt)
	k.Mss[version] = t.MSS
	if !t.ExpiresAt.IsZero() {
		info.ExpiresAt[version] = t.ExpiresAt.Unix()
	}
}

// hasExpired says what forward_is_alive of the programs says at that moment of their
// clock.
func hasExpired(k *bpf.XfwdForward, version int, now time.Duration) bool {
	return k.Expires[version] <= uint64(now)
}

// ends translates moments into the clock of the programs.
type ends struct {
	monotonic time.Duration
	now       time.Time
}

func newEnds() (ends, error) {
	m, err := monotonic()
	return ends{m, time.Now()}, err
}

// of returns when it is that moment, in nanoseconds; for the zero Time, never. What is
// centuries away comes as late as the clock can say.
func (e ends) of(moment time.Time) uint64 {
	if moment.IsZero() {
		return math.MaxUint64
	}
	return uint64(max(0, e.monotonic+min(moment.Sub(e.now), math.MaxInt64-e.monotonic)))
}
