// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/ctl"
)

// refused says that nobody is there, so that it is worth to ask elsewhere.
func refused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }

// hindrances are errors of this host, which has run out of something or may not have it.
var hindrances = []error{ctl.ErrNoSocket, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS, unix.EADDRNOTAVAIL}

// hindered says whether an error says nothing about the backend.
func hindered(err error) bool {
	return slices.ContainsFunc(hindrances, func(h error) bool { return errors.Is(err, h) })
}

// reason says in a few words what is wrong with a backend.
func reason(err error, check ctl.Check) error {
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("no answer within %s", check.Timeout)
	}
	return err
}
