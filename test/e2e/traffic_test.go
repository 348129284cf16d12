// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// traffic is a client that goes on talking, over connections that it has, while a
// test changes the network under it.
type traffic struct {
	network *lab.Network
	port    uint16
	conns   []*talk
}

// talk is one of the connections.
type talk struct {
	*lab.Conn
	// name begins all that is said, and is no other connection's.
	name string
	// answers counts what came back.
	answers atomic.Int64
	// failed is why a TCP connection has ended, wrong what came back that should
	// not: from another server, or an answer to others.
	failed, wrong atomic.Pointer[error]
}

// keepTalking has the client talk to a port of the host's, over TCP and UDP in
// both families, until the test ends.
func keepTalking(network *lab.Network, port uint16) *traffic {
	f := &traffic{network: network, port: port}
	for _, network := range networks {
		for _, host := range f.network.HostAddr.All() {
			f.talk(network, f.network.Client.MustConnect(network, at(host, f.port)))
		}
	}
	return f
}

// talk has the client talk over one more connection.
func (f *traffic) talk(network string, conn *lab.Conn) *talk {
	c := &talk{Conn: conn, name: fmt.Sprintf("%s from %v", network, conn.Local())}
	f.conns = append(f.conns, c)
	if network == "tcp" {
		go c.stream()
	} else {
		go c.send()
	}
	return c
}

func (c *talk) message(n int) []byte { return fmt.Appendf(nil, "%s: message %d", c.name, n) }

// stream waits for each answer, and is over at the first failure.
func (c *talk) stream() {
	for n := 0; ; n++ {
		message := c.message(n)
		answer := make([]byte, len(message))
		c.SetDeadline(time.Now().Add(5 * time.Minute))
		_, err := c.Write(message)
		if err == nil {
			_, err = io.ReadFull(c.Conn.Conn, answer)
		}
		if err != nil {
			c.failed.Store(&err)
			return
		}
		if !bytes.Equal(answer, message) {
			err := fmt.Errorf("%q was answered by %q", message, answer)
			c.wrong.Store(&err)
			return
		}
		c.answers.Add(1)
		time.Sleep(time.Millisecond)
	}
}

// send does not mind lost datagrams, nor what ICMP says, and ends with the test,
// which closes the socket.
func (c *talk) send() {
	answer := make([]byte, 1500)
	for n := 0; ; n++ {
		if c.SetDeadline(time.Now().Add(50*time.Millisecond)) != nil {
			return
		}
		if _, err := c.Write(c.message(n)); err == nil {
			if size, err := c.Read(answer); err == nil {
				// It may be late, and so the answer to an earlier one.
				server, said, _ := bytes.Cut(answer[:size], []byte("\n"))
				if !bytes.HasSuffix(server, []byte(" "+c.Server.String())) || !bytes.HasPrefix(said, []byte(c.name+": ")) {
					err := fmt.Errorf("%q came back, and %v is the server", answer[:size], c.Server)
					c.wrong.Store(&err)
					return
				}
				c.answers.Add(1)
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// mustGoOn fails the test unless all connections have more answers before the
// limit, and new ones can be made then.
func (f *traffic) mustGoOn(t *testing.T, limit time.Duration) {
	t.Helper()
	mustGoOn(t, f.conns, limit)
	for _, host := range f.network.HostAddr.All() {
		for _, network := range networks {
			mustEcho(t, f.network.Client.MustConnect(network, at(host, f.port)))
		}
	}
}

// mustGoOn fails the test unless these connections have more answers before the
// limit, and none that was another's.
func mustGoOn(t *testing.T, conns []*talk, limit time.Duration) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for _, c := range conns {
		before := c.answers.Load()
		lab.Eventually(t, max(0, time.Until(deadline)), func() error {
			if wrong := c.wrong.Load(); wrong != nil {
				t.Fatalf("%s: %v", c.name, *wrong)
			}
			if failed := c.failed.Load(); failed != nil {
				t.Fatalf("%s: the connection broke: %v", c.name, *failed)
			}
			if more := c.answers.Load() - before; more < 3 {
				return fmt.Errorf("%s: %d answers since", c.name, more)
			}
			return nil
		})
	}
}

// mustBeSilent fails the test unless these connections are answered no more, once the
// client has read the answers that had come before.
func mustBeSilent(t *testing.T, conns []*talk) {
	t.Helper()
	lab.Eventually(t, 2*soon, func() error {
		var before []int64
		for _, c := range conns {
			before = append(before, c.answers.Load())
		}
		time.Sleep(500 * time.Millisecond)
		for i, c := range conns {
			if more := c.answers.Load() - before[i]; more > 0 {
				return fmt.Errorf("%s: %d answers, though nobody can answer", c.name, more)
			}
		}
		return nil
	})
}

// mustNotBeWrong fails the test if any connection has had an answer that was
// another's, whatever else has become of it.
func (f *traffic) mustNotBeWrong(t *testing.T) {
	t.Helper()
	for _, c := range f.conns {
		if wrong := c.wrong.Load(); wrong != nil {
			t.Errorf("%s: %v", c.name, *wrong)
		}
		if failed := c.failed.Load(); failed != nil && errors.Is(*failed, os.ErrDeadlineExceeded) {
			t.Errorf("%s: neither answered nor ended: %v", c.name, *failed)
		}
	}
}
