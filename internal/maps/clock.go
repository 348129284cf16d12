// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is the clock of the programs, which nobody sets: what happens to the
// time of day is nothing to flows. A time namespace shows this process another
// one, and says by how much.
func monotonic() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, err
	}
	offsets, err := os.ReadFile("/proc/self/timens_offsets")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("read the offset of the clock: %w", err)
	}
	return time.Duration(ts.Nano()) - monotonicOffset(string(offsets)), nil
}

// monotonicOffset reads what a time namespace adds to the clock. A kernel without
// them has no such text, and adds nothing.
func monotonicOffset(offsets string) time.Duration {
	for line := range strings.Lines(offsets) {
		var seconds, nanoseconds int64
		if n, _ := fmt.Sscanf(line, "monotonic %d %d", &seconds, &nanoseconds); n == 2 {
			return time.Duration(seconds)*time.Second + time.Duration(nanoseconds)
		}
	}
	return 0
}
