// SPDX-License-Identifier: Apache-2.0

package figures

import (
	"fmt"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

// Setup says how long connections took to be accepted, of which there are some.
func Setup(t ctl.SetupTimes) string {
	return fmt.Sprintf("half of them within %s, 99 %% within %s", short(t.Within(0.5)), short(t.Within(0.99)))
}

// short is a duration with two digits, or all that are before the point.
func short(d time.Duration) string {
	for unit := time.Nanosecond; ; unit *= 10 {
		if d < 100*unit {
			return d.Round(unit).String()
		}
	}
}
