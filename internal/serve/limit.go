// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
	mostHeader   = 16 << 10
	// mostConnections is how many clients there may be at once.
	mostConnections = 128
	// crowd is how many of them make a crowd: then a connection ends with its first answer.
	crowd = mostConnections / 2
)

// withoutBody refuses requests with a body, and does not wait for it: nobody here reads one.
func withoutBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
			http.Error(w, "a request has no body here", http.StatusRequestEntityTooLarge)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// limited is a listener that holds few connections. A new one takes the place of the one
// that has been silent for longest, so that many that say nothing keep nobody out.
type limited struct {
	net.Listener

	mu    sync.Mutex
	conns map[*limitedConn]bool
}

type limitedConn struct {
	net.Conn
	of *limited
	// since is when it came, was last answered, or began to be.
	since time.Time
	// answering counts the requests that are being answered.
	answering int
}

func newLimited(l net.Listener) *limited {
	return &limited{Listener: l, conns: make(map[*limitedConn]bool)}
}

// Accept takes the next connection.
func (l *limited) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &limitedConn{Conn: conn, of: l, since: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) >= mostConnections {
		drop := l.dispensable()
		delete(l.conns, drop)
		_ = drop.Conn.Close() // also ends an answer that waits for its reader
	}
	l.conns[c] = true
	return c, nil
}

// dispensable is the connection that has been silent for longest, else the one whose
// answer takes longest.
func (l *limited) dispensable() *limitedConn {
	var best *limitedConn
	for c := range l.conns {
		if best == nil || c.before(best) {
			best = c
		}
	}
	return best
}

func (c *limitedConn) before(o *limitedConn) bool {
	if (c.answering == 0) != (o.answering == 0) {
		return c.answering == 0
	}
	return c.since.Before(o.since)
}

// Close closes a connection and frees its place.
func (c *limitedConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.conns, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

type connKey struct{}

// context lets watch know the connection of a request.
func (l *limited) context(ctx context.Context, conn net.Conn) context.Context {
	if secure, is := conn.(*tls.Conn); is {
		conn = secure.NetConn()
	}
	return context.WithValue(ctx, connKey{}, conn)
}

// watch notes which connections are being answered, and lets them go if there are many.
func (l *limited) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, is := r.Context().Value(connKey{}).(*limitedConn)
		if is {
			if c.answer(1) >= crowd {
				w.Header().Set("Connection", "close")
			}
			defer c.answer(-1)
		}
		next.ServeHTTP(w, r)
	})
}

// answer notes that answers begin or end, and returns how many connections there are.
func (c *limitedConn) answer(change int) int {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.answering += change
	c.since = time.Now()
	return len(c.of.conns)
}
