// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"

	"github.com/xfwd/xfwd/internal/share"
)

// scrapes answers scrapes. It makes one answer after the other, for each takes memory:
// with ten thousand forwards, a hundred megabytes. Scrapes that wait for the same answer
// share it, and a client that reads slowly keeps nobody waiting. When nobody has asked for
// a while, the memory is given back.
type scrapes struct {
	handler http.Handler
	turn    sync.Mutex
	looks   map[scrapeKind]*share.Look[*scrape]
}

// scrapeKind is what the answers to two scrapes have in common.
type scrapeKind struct {
	// accept asks for a format.
	accept string
	zipped bool
}

// The formats besides plain text. Native histograms are in protobufs alone.
const (
	openMetrics = "application/openmetrics-text; version=1.0.0"
	protobufs   = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

func kindOf(r *http.Request) scrapeKind {
	kind := scrapeKind{zipped: takesGzip(r.Header.Get("Accept-Encoding"))}
	switch expfmt.NegotiateIncludingOpenMetrics(r.Header).FormatType() {
	case expfmt.TypeOpenMetrics:
		kind.accept = openMetrics
	case expfmt.TypeProtoDelim, expfmt.TypeProtoCompact, expfmt.TypeProtoText:
		kind.accept = protobufs
	}
	return kind
}

// scrapePatience is longer than a measurement may take.
const scrapePatience = 30 * time.Second

func newScrapes(handler http.Handler, quiet time.Duration) *scrapes {
	s := &scrapes{handler: handler, looks: make(map[scrapeKind]*share.Look[*scrape])}
	idle := time.AfterFunc(quiet, returnMemory)
	for _, accept := range []string{"", openMetrics, protobufs} {
		for _, zipped := range []bool{false, true} {
			kind := scrapeKind{accept, zipped}
			s.looks[kind] = share.New(share.Options{Patience: scrapePatience}, func(ctx context.Context) (*scrape, error) {
				s.turn.Lock()
				defer s.turn.Unlock()
				defer idle.Reset(quiet)
				answer := &scrape{header: make(http.Header), status: http.StatusOK}
				handler.ServeHTTP(answer, kind.request(ctx))
				return answer, ctx.Err()
			})
		}
	}
	return s
}

func (s *scrapes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := s.looks[kindOf(r)].Get(r.Context())
	if err != nil {
		http.Error(w, oneLine(err.Error()), http.StatusServiceUnavailable)
		return
	}
	maps.Copy(w.Header(), answer.header)
	w.WriteHeader(answer.status)
	w.Write(answer.body.Bytes())
}

func takesGzip(encodings string) bool {
	for word := range strings.SplitSeq(encodings, ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(word, " ", ""), ";")
		if name == "gzip" {
			return strings.Trim(weight, "q=0.") != "" || weight == ""
		}
	}
	return false
}

// request is one that has an answer of the kind.
func (k scrapeKind) request(ctx context.Context) *http.Request {
	r := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/metrics"}, Header: make(http.Header)}).WithContext(ctx)
	if k.accept != "" {
		r.Header.Set("Accept", k.accept)
	}
	if k.zipped {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	return r
}

// scrape is an answer, before it is sent.
type scrape struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (s *scrape) Header() http.Header         { return s.header }
func (s *scrape) WriteHeader(status int)      { s.status = status }
func (s *scrape) Write(p []byte) (int, error) { return s.body.Write(p) }

// keptMemory is how much memory the heap may keep when nobody asks. By itself it would
// keep for long whatever the largest scrape has taken.
const keptMemory = 32 << 20

// returnMemory gives memory back to the system if it is much. The next scrape then
// takes longer.
func returnMemory() {
	if heap() > keptMemory {
		debug.FreeOSMemory()
	}
}

// heap is the memory that the heap has of the system.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapSys - m.HeapReleased
}
