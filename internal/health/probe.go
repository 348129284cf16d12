// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

const (
	// mostRead is how much of an answer is read: what comes with a status is of no
	// interest, but whoever sends it shall get rid of it.
	mostRead = 64 << 10
	// parting is how long a server may take to end a connection.
	parting = 100 * time.Millisecond
)

// probe asks one backend once.
type probe struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	http http.Transport
	// agent is how it calls itself.
	agent string
}

func newProbe(o Options) *probe {
	return &probe{
		dial:  o.Dial,
		agent: "xfwd/" + o.Version,
		http: http.Transport{
			DialContext:            o.Dial,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: mostRead,
		},
	}
}

// any asks at the targets of a backend, one after the other until one does not refuse,
// and says what is wrong. A target that answers is asked, whatever it says.
func (p *probe) any(ctx context.Context, w *watch) error {
	err := errors.New("it has no address")
	for _, target := range w.backend.Targets {
		if err = p.one(ctx, w, target); !refused(err) {
			break
		}
	}
	return err
}

func (p *probe) one(ctx context.Context, w *watch, target netip.AddrPort) error {
	switch w.backend.Check.Kind {
	case ctl.CheckHTTP:
		return p.askHTTP(ctx, target, w.backend.Check.Path)
	case ctl.CheckUDP:
		return w.udp.ask(ctx, p.dial, target)
	}
	return p.connect(ctx, target)
}

// connect connects, and is content. A connection with something unread is reset when it
// is closed, so what the server says first is read, such as who it is.
func (p *probe) connect(ctx context.Context, target netip.AddrPort) error {
	conn, err := p.dial(ctx, "tcp", target.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if half, can := conn.(interface{ CloseWrite() error }); can && half.CloseWrite() == nil {
		_ = conn.SetReadDeadline(time.Now().Add(parting))
		_, _ = io.CopyN(io.Discard, conn, mostRead)
	}
	return nil
}

// askHTTP asks for a path, and wants a status that is no error. Where else it leads is
// of no interest.
func (p *probe) askHTTP(ctx context.Context, target netip.AddrPort, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target.String()+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", p.agent)
	response, err := p.http.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 399 {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	_, _ = io.CopyN(io.Discard, response.Body, mostRead)
	return nil
}
