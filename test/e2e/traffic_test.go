// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// traffic is a client that goes on talking, over connections that it has, while a
// test changes the network under it.
type traffic struct {
	site  *lab.Site
	port  uint16
	conns []*talk
}

// talk is one of the connections.
type talk struct {
	*lab.Conn
	name string
	// answers counts what came back.
	answers atomic.Int64
	// failed is why a TCP connection has ended.
	failed atomic.Pointer[error]
}

// keepTalking has the client talk to a port of the host's, over TCP and UDP in
// both families, until the test ends.
func keepTalking(site *lab.Site, port uint16) *traffic {
	f := &traffic{site: site, port: port}
	for _, network := range networks {
		for family, host := range site.HostAddr.All() {
			c := &talk{Conn: site.Client.MustConnect(network, at(host, port)), name: network + " " + family}
			f.conns = append(f.conns, c)
			if network == "tcp" {
				go c.stream()
			} else {
				go c.send()
			}
		}
	}
	return f
}

// stream waits for each answer, and is over at the first failure.
func (c *talk) stream() {
	message := []byte("message")
	for {
		c.SetDeadline(time.Now().Add(time.Minute))
		_, err := c.Write(message)
		if err == nil {
			_, err = io.ReadFull(c.Conn.Conn, message)
		}
		if err != nil {
			c.failed.Store(&err)
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
	for {
		if c.SetDeadline(time.Now().Add(50*time.Millisecond)) != nil {
			return
		}
		if _, err := c.Write([]byte("message")); err == nil {
			if _, err = c.Read(answer); err == nil {
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
	deadline := time.Now().Add(limit)
	for _, c := range f.conns {
		before := c.answers.Load()
		lab.Eventually(t, max(0, time.Until(deadline)), func() error {
			if failed := c.failed.Load(); failed != nil {
				t.Fatalf("%s: the connection broke: %v", c.name, *failed)
			}
			if more := c.answers.Load() - before; more < 3 {
				return fmt.Errorf("%s: %d answers since", c.name, more)
			}
			return nil
		})
	}
	for _, host := range f.site.HostAddr.All() {
		for _, network := range networks {
			mustEcho(t, f.site.Client.MustConnect(network, at(host, f.port)))
		}
	}
}
