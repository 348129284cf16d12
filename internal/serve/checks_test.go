// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/metrics"
)

// checked is a dataplane with backends to be checked.
type checked struct {
	slow
	mu       sync.Mutex
	backends []ctl.CheckedBackend
	revision ctl.Revision
	// failures is how often nothing can be recorded, and sockets are refused.
	failures, refusals int
	recorded           []ctl.BackendHealth
}

func (c *checked) Checked(context.Context, ctl.Revision) ([]ctl.CheckedBackend, ctl.Revision, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.backends, c.revision, nil
}

func (c *checked) SetHealth(_ context.Context, found []ctl.BackendHealth) ([]ctl.BackendHealth, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures > 0 {
		c.failures--
		return nil, errors.New("it is locked")
	}
	c.recorded = append(c.recorded, found...)
	return found, nil
}

func (c *checked) ReplaceSocket(syscall.RawConn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusals > 0 {
		c.refusals--
		return ctl.ErrNoSocket
	}
	return nil
}

// output is a log that is read while it is written.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// What is found out is recorded, later if it cannot be at once, and told once it is. What
// keeps this host from checking is told, and nothing else comes of it.
func TestChecksAreRecorded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	target := l.Addr().(*net.TCPAddr).AddrPort()
	d := &checked{failures: 1, refusals: 3, revision: ctl.Revision{Epoch: 1}}
	d.backends = []ctl.CheckedBackend{{
		BackendHealth: ctl.BackendHealth{
			Frontend: ctl.Frontend{Protocol: ctl.TCP, Ports: ctl.PortRange{First: 80, Last: 80}},
			Backend:  ctl.Backend{Address: target.Addr(), Ports: ctl.PortRange{First: target.Port(), Last: target.Port()}},
			Health:   ctl.HealthUp,
		},
		Check:   ctl.Check{Kind: ctl.CheckTCP, Interval: 100 * time.Millisecond, Timeout: 100 * time.Millisecond, Rise: 1, Fall: 2},
		Targets: []netip.AddrPort{target},
	}}
	var log output
	open := func() (Dataplane, error) { return d, nil }
	c := newChecks(&source{open: open, log: &log}, metrics.NewChecks(prometheus.NewRegistry()), Options{Errors: &log})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.run(ctx)
	}()
	want := "warning: " + target.String() + " of 80/tcp is down: connection refused\n"
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(log.String(), want) && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	<-ended
	said := log.String()
	for _, line := range []string{want, "warning: the dataplane cannot be read: it is locked\n", "note: the dataplane can be read again\n"} {
		if strings.Count(said, line) != 1 {
			t.Errorf("%q is not said just once:\n%s", line, said)
		}
	}
	if n := strings.Count(said, "warning: backends cannot be checked: "); n != 1 {
		t.Errorf("what hinders is said %d times:\n%s", n, said)
	}
	if len(d.recorded) != 1 || d.recorded[0].Health != ctl.HealthDown {
		t.Errorf("%v is recorded", d.recorded)
	}
}
