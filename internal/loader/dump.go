// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// dumpTries bounds how often a list is asked for that changes while the kernel
// writes it.
const dumpTries = 10

// dump lists things of the kernel, again if they change meanwhile, which may have
// left some out.
func dump(what string, list func() error) error {
	var err error
	for range dumpTries {
		if err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return explain("list the "+what, err)
}
