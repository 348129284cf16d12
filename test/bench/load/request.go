// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// AnswerBody is the size of the body of a small answer in bytes, which is also
// the path that is asked for.
const AnswerBody = 128

// patience is how long a client waits for anything to happen.
const patience = 3 * time.Second

var errSilent = errors.New("no answer within 3 s")

// keepAlive is a set of connections with at most one request in flight each.
type keepAlive struct {
	poll    *poller
	fds     []int
	request []byte
	// size is that of every answer, learned from the first one.
	size int
	buf  []byte
}

func openKeepAlive(target netip.AddrPort) (traffic, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	k := &keepAlive{
		poll:    poll,
		request: fmt.Appendf(nil, "GET /%d HTTP/1.1\r\nHost: bench\r\n\r\n", AnswerBody),
		buf:     make([]byte, 4096),
	}
	for range parallel {
		fd, err := dial(target, unix.SOCK_STREAM)
		if err == nil {
			k.fds = append(k.fds, fd)
			err = poll.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)
		}
		if err != nil {
			k.close()
			return nil, err
		}
	}
	if k.size, err = k.learn(k.fds[0]); err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

// learn makes one request and returns the size of the answer.
func (k *keepAlive) learn(fd int) (int, error) {
	if err := writeAll(fd, k.request); err != nil {
		return 0, fmt.Errorf("request: %w", err)
	}
	for got := 0; ; {
		n, err := read(fd, k.buf[got:])
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, fmt.Errorf("answer: %w", err)
		}
		got += n
		if size, err := answerSize(k.buf[:got]); err != nil || size == got {
			return size, err
		}
	}
}

func (k *keepAlive) do(requests int) error {
	left := requests
	for _, fd := range k.fds[:min(len(k.fds), requests)] {
		if err := writeAll(fd, k.request); err != nil {
			return fmt.Errorf("request: %w", err)
		}
		left--
	}
	for done := 0; done < requests; {
		events, err := k.poll.wait(patience)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return fmt.Errorf("request: %w", errSilent)
		}
		for _, ev := range events {
			if err := k.receive(int(ev.Fd)); err != nil {
				return err
			}
			done++
			if left == 0 {
				continue
			}
			if err := writeAll(int(ev.Fd), k.request); err != nil {
				return fmt.Errorf("request: %w", err)
			}
			left--
		}
	}
	return nil
}

// receive reads one whole answer, nearly always with one call.
func (k *keepAlive) receive(fd int) error {
	for size := k.size; size > 0; {
		n, err := read(fd, k.buf)
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		size -= n
	}
	return nil
}

func (k *keepAlive) close() {
	for _, fd := range k.fds {
		closeFD(fd)
	}
	k.poll.close()
}
