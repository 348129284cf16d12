// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// workload uses a frontend of a fleet while something changes: it makes new
// connections all the time, keeps some, and exchanges datagrams.
type workload struct {
	fleet *fleet
	stop  chan struct{}
	all   sync.WaitGroup

	connected, echoed, datagrams, repeated atomic.Int64

	mu       sync.Mutex
	failures []error
}

// work begins to use a port of the host, TCP and UDP, until end.
func (f *fleet) work(t *testing.T, port uint16) *workload {
	t.Helper()
	w := &workload{fleet: f, stop: make(chan struct{})}
	for _, host := range f.HostAddr.All() {
		to := at(host, port)
		kept := f.Client.MustConnect("tcp", to)
		udp, err := f.Client.Dial("udp", to, anyPort)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { udp.Close() })
		w.loop("a new connection", func() error { return w.connect(to) })
		w.loop("a connection that was kept", func() error { w.echoed.Add(1); return kept.Echo(make([]byte, 1000)) })
		w.loop("UDP", func() error { return w.exchange(udp) })
	}
	return w
}

// loop repeats something until end, or until it has failed. It pauses, so that it
// does not use up the client's ports.
func (w *workload) loop(name string, once func() error) {
	w.all.Go(func() {
		for {
			select {
			case <-w.stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			if err := once(); err != nil {
				w.mu.Lock()
				w.failures = append(w.failures, fmt.Errorf("%s: %w", name, err))
				w.mu.Unlock()
				return
			}
		}
	})
}

// connect makes a connection for one exchange.
func (w *workload) connect(to netip.AddrPort) error {
	conn, err := w.fleet.Client.Dial("tcp", to, anyPort)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(lab.Patience))
	if _, err := conn.Write([]byte("bye")); err != nil {
		return err
	}
	conn.(*net.TCPConn).CloseWrite()
	said, err := io.ReadAll(conn)
	if err == nil && !bytes.HasSuffix(said, []byte("\nbye")) {
		err = fmt.Errorf("%v said %q", to, said)
	}
	w.connected.Add(1)
	return err
}

// exchange sends a datagram and waits for its answer. An answer that is on its
// way when its backend is deleted is lost, as UDP may lose it, so it asks a second
// time.
func (w *workload) exchange(conn net.Conn) error {
	question := fmt.Appendf(nil, "datagram %d", w.datagrams.Add(1))
	answer := make([]byte, 1500)
	for try := 0; ; try++ {
		if _, err := conn.Write(question); err != nil {
			return err
		}
		conn.SetReadDeadline(time.Now().Add(time.Second))
		for {
			size, err := conn.Read(answer)
			if err == nil && bytes.HasSuffix(answer[:size], question) {
				return nil
			}
			if errors.Is(err, os.ErrDeadlineExceeded) && try == 0 {
				w.repeated.Add(1)
				break
			}
			if err != nil {
				return fmt.Errorf("%s: %w", question, err)
			}
		}
	}
}

// end stops the work, and fails the test if any of it failed, or too little was
// done, or more datagrams were sent again than there may be.
func (w *workload) end(t *testing.T, repeated int64) {
	t.Helper()
	close(w.stop)
	w.all.Wait()
	for _, err := range w.failures {
		t.Error(err)
	}
	t.Logf("%d new connections, %d exchanges on kept ones, %d datagrams, of which %d were sent again",
		w.connected.Load(), w.echoed.Load(), w.datagrams.Load(), w.repeated.Load())
	if w.connected.Load() < 100 || w.echoed.Load() < 100 || w.datagrams.Load() < 100 {
		t.Error("hardly any traffic went while something changed")
	}
	if w.repeated.Load() > repeated {
		t.Errorf("%d datagrams were lost, %d may be", w.repeated.Load(), repeated)
	}
}
