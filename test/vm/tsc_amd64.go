// SPDX-License-Identifier: Apache-2.0

package main

import "time"

// ticks reads the processor's time stamp counter.
func ticks() uint64

// measureTSC returns how many thousand ticks the counter makes in a second. A
// guest's counter is the machine's where the processor is emulated.
func measureTSC() int {
	start, before := stamp()
	time.Sleep(500 * time.Millisecond)
	end, after := stamp()
	return int(float64(after-before) / end.Sub(start).Seconds() / 1000)
}

// stamp reads both clocks at once, as far as that can be done on a busy machine.
func stamp() (now time.Time, count uint64) {
	for least := time.Duration(1 << 62); least > 0; {
		improved := false
		for range 100 {
			start := time.Now()
			c := ticks()
			if took := time.Since(start); took < least {
				least, now, count, improved = took, start, c, true
			}
		}
		if !improved {
			break
		}
	}
	return now, count
}
