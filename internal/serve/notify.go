// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// tellReady tells systemd, if it has started us, that we serve, and from then on
// twice in the time that it gives its watchdog that we live.
func tellReady(ctx context.Context) {
	tell(daemon.SdNotifyReady)
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil || within == 0 {
		return
	}
	go func() {
		for {
			tell(daemon.SdNotifyWatchdog)
			select {
			case <-ctx.Done():
				return
			case <-time.After(within / 2):
			}
		}
	}()
}

func tellStopping() { tell(daemon.SdNotifyStopping) }

// tell cannot help it if systemd does not listen.
func tell(state string) { _, _ = daemon.SdNotify(false, state) }
