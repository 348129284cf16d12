// SPDX-License-Identifier: Apache-2.0

package top

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// stopPatience is how long it may take until a stop that was asked for takes place. None
// does where no shell could end it.
const stopPatience = time.Second

// suspend gives the terminal back to the shell until that resumes the process.
func (d *display) suspend() error {
	if err := d.screen.Suspend(); err != nil {
		return err
	}
	// The stop is another thread's matter, and may come after the call for it.
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	defer signal.Stop(resumed)
	if err := syscall.Kill(0, syscall.SIGTSTP); err != nil {
		return err
	}
	select {
	case <-resumed:
	case <-time.After(stopPatience):
	}
	return d.screen.Resume()
}
