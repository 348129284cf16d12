// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Serving is a running `xfwd serve`.
type Serving struct {
	*Process
	*Web
}

// servePort is where Serve lets it listen.
const servePort = 9980

// Serve starts `xfwd serve` inside the namespace, at port 9980 of all its addresses,
// and waits until it answers.
func (x *XFWD) Serve(args ...string) *Serving {
	x.at.lab.tb.Helper()
	address := fmt.Sprintf(":%d", servePort)
	return x.ServeCommand(x.Command(append([]string{"serve", "--listen", address}, args...)...), x.at.Web(address))
}

// ServeCommand starts a prepared command line of `xfwd serve` inside the namespace,
// and waits until it answers where it was told to listen.
func (x *XFWD) ServeCommand(command *exec.Cmd, web *Web) *Serving {
	x.at.lab.tb.Helper()
	s := &Serving{Process: x.at.StartCommand(command), Web: web}
	Eventually(x.at.lab.tb, 10*Patience, func() error {
		if !s.Running() {
			x.at.lab.tb.Fatalf("%s has ended: %s", command, &s.Stderr)
		}
		_, err := s.Get("/healthz")
		return err
	})
	return s
}

// Web is a server of HTTP at one address, as it is seen from a namespace.
type Web struct {
	// Client may be given a TLS configuration.
	Client http.Client
	// URL is what paths are appended to.
	URL string
	// Header is sent with each request.
	Header http.Header

	lab *Lab
}

// Web returns a client of a server inside the namespace. The address is one of TCP, of
// which the host may be missing, or unix: and the path of a socket.
func (n *Namespace) Web(address string) *Web {
	w := &Web{URL: "http://" + address, Header: http.Header{}, lab: n.lab}
	if strings.HasPrefix(address, ":") {
		w.URL = "http://127.0.0.1" + address
	}
	transport := &http.Transport{DisableCompression: true}
	w.Client = http.Client{Transport: transport, Timeout: time.Minute}
	if path, is := strings.CutPrefix(address, "unix:"); is {
		w.URL = "http://socket"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	} else {
		transport.DialContext = func(ctx context.Context, network, at string) (conn net.Conn, err error) {
			n.Do(func() { conn, err = new(net.Dialer).DialContext(ctx, network, at) })
			return conn, err
		}
	}
	n.lab.tb.Cleanup(transport.CloseIdleConnections)
	return w
}

// Answer is what a server of HTTP has said.
type Answer struct {
	Status int
	Header http.Header
	// Body is as it came, be it compressed.
	Body string
}

// Get asks for a path.
func (w *Web) Get(path string) (Answer, error) {
	request, err := http.NewRequest(http.MethodGet, w.URL+path, nil)
	if err != nil {
		return Answer{}, err
	}
	request.Header = w.Header
	response, err := w.Client.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return Answer{response.StatusCode, response.Header, string(body)}, err
}

// MustGet asks for a path and fails the test unless the status is 200.
func (w *Web) MustGet(path string) Answer {
	w.lab.tb.Helper()
	answer, err := w.Get(path)
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", answer.Status, answer.Body)
	}
	if err != nil {
		w.lab.tb.Fatalf("%s%s: %v", w.URL, path, err)
	}
	return answer
}

// Unzipped is the body of an answer that is compressed.
func (a Answer) Unzipped() (string, error) {
	r, err := gzip.NewReader(strings.NewReader(a.Body))
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(r)
	return string(body), err
}

// Samples are metrics, by the name of a series with its labels as Prometheus's text
// format writes them: name{label="value",...}, labels in alphabetical order.
type Samples map[string]float64

// Metrics scrapes /metrics.
func (w *Web) Metrics() Samples {
	w.lab.tb.Helper()
	samples, err := ParseSamples(w.MustGet("/metrics").Body)
	if err != nil {
		w.lab.tb.Fatalf("%s/metrics: %v", w.URL, err)
	}
	return samples
}

// ParseSamples reads Prometheus's text format without time stamps.
func ParseSamples(text string) (Samples, error) {
	samples := make(Samples)
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		space := strings.LastIndexByte(line, ' ')
		if space < 0 {
			return nil, fmt.Errorf("no sample: %q", line)
		}
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("no sample: %q: %w", line, err)
		}
		if _, twice := samples[line[:space]]; twice {
			return nil, errors.New("twice: " + line[:space])
		}
		samples[line[:space]] = value
	}
	return samples, lines.Err()
}
