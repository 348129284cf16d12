// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"io"
	"net/netip"

	"golang.org/x/sys/unix"
)

// bulk is one connection that moves many bytes.
type bulk struct {
	fd       int
	transfer func(b *bulk, size int) error
	buf      []byte
}

func openBulk(target netip.AddrPort, transfer func(*bulk, int) error) (traffic, error) {
	fd, err := dial(target, unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	return &bulk{fd: fd, transfer: transfer, buf: make([]byte, chunk)}, nil
}

func (b *bulk) do(mebibytes int) error { return b.transfer(b, mebibytes<<20) }

func (b *bulk) close() { closeFD(b.fd) }

func (b *bulk) upload(size int) error {
	if err := writeAll(b.fd, fmt.Appendf(nil, "PUT /%d HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n", size, size)); err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	clear(b.buf)
	for size > 0 {
		n, err := write(b.fd, b.buf[:min(size, len(b.buf))])
		if err != nil {
			return fmt.Errorf("upload: %w", err)
		}
		size -= n
	}
	return b.receive(len(appendAnswer(nil, 0)))
}

func (b *bulk) download(size int) error {
	if err := writeAll(b.fd, fmt.Appendf(nil, "GET /%d HTTP/1.1\r\nHost: bench\r\n\r\n", size)); err != nil {
		return fmt.Errorf("download: %w", err)
	}
	return b.receive(len(appendAnswer(nil, size)) + size)
}

func (b *bulk) receive(size int) error {
	for size > 0 {
		n, err := read(b.fd, b.buf)
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("receiving: %w", err)
		}
		size -= n
	}
	return nil
}
