// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// What a large scrape has taken is given back when nobody asks any more.
func TestMemoryIsReturned(t *testing.T) {
	const quiet = 500 * time.Millisecond
	var taken []byte
	handler := newScrapes(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		taken = make([]byte, 4*keptMemory)
		for i := range taken {
			taken[i] = 1
		}
		taken = nil
	}), quiet)
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	for deadline := time.Now().Add(20 * quiet); heap() > keptMemory; time.Sleep(quiet / 10) {
		if time.Now().After(deadline) {
			t.Fatalf("the heap is %d bytes, want %d at most", heap(), keptMemory)
		}
	}
}

// A scrape has the format that it asks for.
func TestScrapeFormats(t *testing.T) {
	s := newScrapes(promhttp.HandlerFor(prometheus.NewRegistry(), promhttp.HandlerOpts{EnableOpenMetrics: true}), time.Hour)
	for accept, want := range map[string]string{
		"":           "text/plain",
		"text/plain": "text/plain",
		"application/openmetrics-text;version=1.0.0,text/plain;q=0.5": "application/openmetrics-text; version=1.0.0",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," +
			"application/openmetrics-text;version=1.0.0;q=0.5": "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
	} {
		for encoding, zipped := range map[string]string{"": "", "gzip": "gzip", "deflate, gzip;q=0.5": "gzip", "gzip;q=0": ""} {
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.Header.Set("Accept", accept)
			r.Header.Set("Accept-Encoding", encoding)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, want) {
				t.Errorf("%q is answered by %q, want %q", accept, got, want)
			}
			if got := w.Header().Get("Content-Encoding"); got != zipped {
				t.Errorf("%q is encoded %q, want %q", encoding, got, zipped)
			}
		}
	}
}
