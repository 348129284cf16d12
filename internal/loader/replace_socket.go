// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// ReplaceSocket puts a socket of the namespace in the place of one that has no address yet,
// as a net.Dialer's Control has it: whoever dials then need not be in the namespace. To
// connect on a thread that is there would keep the thread for as long as nobody answers.
func (l *Loader) ReplaceSocket(c syscall.RawConn) error {
	var err error
	if failure := c.Control(func(fd uintptr) { err = l.namespace.replaceSocket(int(fd)) }); failure != nil {
		err = failure
	}
	if err != nil {
		return errorf(ErrNoSocket, "%w", err)
	}
	return nil
}

func (n *Namespace) replaceSocket(fd int) error {
	var kind [3]int
	for i, option := range [...]int{unix.SO_DOMAIN, unix.SO_TYPE, unix.SO_PROTOCOL} {
		var err error
		if kind[i], err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, option); err != nil {
			return err
		}
	}
	return n.Do(func() error {
		s, err := unix.Socket(kind[0], kind[1]|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, kind[2])
		if err != nil {
			return err
		}
		defer unix.Close(s)
		return unix.Dup3(s, fd, unix.O_CLOEXEC)
	})
}
