// SPDX-License-Identifier: Apache-2.0

// Command xfwd publishes ports of a host at kernel speed. This package is its
// words: arguments in, tables and JSON out. What the words do is internal/ctl.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, system(), os.Args[1:])
	stop()
	os.Exit(status)
}
