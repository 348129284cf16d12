// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime is the processor time that all threads of a process have used, in
// user mode and in the kernel, also those that have ended; children are not
// in it. It is the scheduler's own sum in nanoseconds, where /proc/PID/stat
// counts ticks of 10 ms and /proc/PID/schedstat the first thread only.
//
// What the kernel does in a softirq is in the time of the process that it
// interrupts. On a veth that is the sender, so receiving, forwarding and
// answering a packet are all charged to processes of the benchmark.
func CPUTime(pid int) (time.Duration, error) {
	// The kernel's clock of a process: its complemented number above three
	// bits, of which 2 selects the scheduler's sum (CPUCLOCK_SCHED).
	clock := int32(^pid)<<3 | 2
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// cpuTimes reads CPUTime of every process.
func cpuTimes(pids []int) ([]time.Duration, error) {
	times := make([]time.Duration, len(pids))
	for i, pid := range pids {
		t, err := CPUTime(pid)
		if err != nil {
			return nil, err
		}
		times[i] = t
	}
	return times, nil
}
