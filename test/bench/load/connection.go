// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// connections makes short connections, several at a time.
type connections struct {
	poll    *poller
	target  netip.AddrPort
	to      sockaddr
	request []byte
	buf     []byte
	// size is that of every answer, learned from the first one.
	size int
	// received counts the bytes of each open connection, by descriptor.
	received map[int]int
}

func openConnections(target netip.AddrPort) (traffic, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &connections{
		poll:     poll,
		target:   target,
		to:       newSockaddr(target),
		request:  fmt.Appendf(nil, "GET /%d HTTP/1.0\r\nHost: bench\r\n\r\n", AnswerBody),
		buf:      make([]byte, 4096),
		received: make(map[int]int, parallel),
	}, nil
}

func (c *connections) do(total int) error {
	for started, done := 0, 0; done < total; {
		for ; started < total && len(c.received) < parallel; started++ {
			if err := c.start(); err != nil {
				return err
			}
		}
		events, err := c.poll.wait(patience)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return fmt.Errorf("connection: %w", errSilent)
		}
		for _, ev := range events {
			ended, err := c.receive(int(ev.Fd))
			if err != nil {
				return err
			}
			if ended {
				done++
			}
		}
	}
	return nil
}

// start connects and sends the request. Connecting may block: the answer to
// the SYN is there before the system call would sleep, because a veth
// delivers in the context of the sender.
func (c *connections) start() error {
	fd, err := socket(c.target, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	c.received[fd] = 0
	if err := connect(fd, &c.to); err != nil {
		return fmt.Errorf("connect %v: %w", c.target, err)
	}
	if err := writeAll(fd, c.request); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	return c.poll.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)
}

// receive reads once. It reports whether the connection came to its end.
func (c *connections) receive(fd int) (ended bool, err error) {
	n, err := read(fd, c.buf)
	if err != nil {
		return false, fmt.Errorf("answer: %w", err)
	}
	if n > 0 {
		if c.size == 0 {
			if c.size, err = answerSize(c.buf[:n]); err != nil {
				return false, err
			}
		}
		c.received[fd] += n
		return false, nil
	}
	if got := c.received[fd]; got != c.size {
		return false, fmt.Errorf("answer of %d bytes ended after %d", c.size, got)
	}
	delete(c.received, fd)
	closeFD(fd)
	return true, nil
}

func (c *connections) close() {
	for fd := range c.received {
		closeFD(fd)
	}
	c.poll.close()
}
