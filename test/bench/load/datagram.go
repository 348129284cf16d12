// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// payload is the size of a datagram's payload in bytes.
const payload = 64

// datagrams is a set of connected UDP sockets, each a flow of its own.
type datagrams struct {
	fds []int
	buf []byte
}

func openDatagrams(target netip.AddrPort) (traffic, error) {
	d := &datagrams{buf: make([]byte, payload)}
	for range parallel {
		fd, err := dial(target, unix.SOCK_DGRAM)
		if err != nil {
			d.close()
			return nil, err
		}
		d.fds = append(d.fds, fd)
	}
	return d, nil
}

// do sends one datagram from each socket, awaits the echo of each, and so on:
// never so many at once that a socket buffer would run over.
func (d *datagrams) do(packets int) error {
	for echoes := packets / 2; echoes > 0; echoes -= len(d.fds) {
		fds := d.fds[:min(len(d.fds), echoes)]
		for _, fd := range fds {
			if _, err := write(fd, d.buf); err != nil {
				return fmt.Errorf("datagram: %w", err)
			}
		}
		for _, fd := range fds {
			n, err := read(fd, d.buf)
			if errors.Is(err, unix.EAGAIN) {
				err = errSilent
			}
			if err != nil {
				return fmt.Errorf("echo: %w", err)
			}
			if n != payload {
				return fmt.Errorf("echo of %d bytes, %d were sent", n, payload)
			}
		}
	}
	return nil
}

func (d *datagrams) close() {
	for _, fd := range d.fds {
		closeFD(fd)
	}
}
