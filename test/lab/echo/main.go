// SPDX-License-Identifier: Apache-2.0

// Command echo serves what package lab calls an echo, at each address of its
// arguments, TCP and UDP, until it is killed. It is what containers of the tests run.
package main

import (
	"fmt"
	"os"

	"github.com/xfwd/xfwd/test/lab"
)

func main() {
	failed := make(chan error)
	for _, address := range os.Args[1:] {
		for _, network := range []string{"tcp", "udp"} {
			go func() { failed <- lab.ServeEcho(network, address) }()
		}
	}
	fmt.Fprintln(os.Stderr, "echo:", <-failed)
	os.Exit(1)
}
