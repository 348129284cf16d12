// SPDX-License-Identifier: Apache-2.0

package figures

import (
	"math"
	"testing"
)

func TestShort(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 999: "999", 1000: "1.0k", 1234: "1.2k", 9949: "9.9k", 9950: "10k", 9999: "10k", 12345: "12k",
		999_499: "999k", 999_500: "1.0M", 999_999: "1.0M", 1_000_000: "1.0M", 45_600_000: "46M",
		math.MaxUint64: "18E",
	} {
		if got := Short(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
