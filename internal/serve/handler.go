// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/xfwd/xfwd/internal/figures"
	"github.com/xfwd/xfwd/internal/metrics"
	"github.com/xfwd/xfwd/internal/page"
)

// quietTime is longer than Prometheus usually lets us wait for the next scrape.
const quietTime = 90 * time.Second

// newHandler answers everything that a server is asked.
func newHandler(s *source, registry *prometheus.Registry, version string, hosts hosts) (http.Handler, error) {
	page, err := page.Handler(page.Options{Version: version, Measure: s.measures.Get, Status: s.statuses.Get})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", page)
	mux.Handle("GET /page/", page)
	mux.Handle("GET /api/v1/", page)
	mux.Handle("GET /metrics", metricsHandler(s, registry))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	return withoutBody(hosts.only(mux)), nil
}

// newRegistry has the metrics of the dataplane, and of the program itself.
func newRegistry(s *source, version string) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		&metrics.Collector{Version: version, Measure: s.measures.Get},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}

func metricsHandler(s *source, registry *prometheus.Registry) http.Handler {
	return newScrapes(promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		// What can be shown, is.
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      log.New(printableLog{s.log}, "warning: ", log.Lmsgprefix),
	}), quietTime)
}

// readyPatience is how long a command may keep the dataplane to itself before
// whoever asks is told.
const readyPatience = 2 * time.Second

var errBusy = errors.New("a command keeps the dataplane to itself; ask again")

// ready says whether the dataplane is loaded and can be read, or in one line why not.
func (s *source) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), readyPatience, errBusy)
	defer cancel()
	loaded, err := s.loads.Get(ctx)
	switch {
	case err != nil:
		http.Error(w, oneLine(err.Error()), http.StatusServiceUnavailable)
	case !loaded:
		http.Error(w, "the dataplane is not loaded; the first `xfwd add` or `xfwd restore` loads it", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ok")
	}
}

// printableLog writes what others have worded, one line at a time.
type printableLog struct{ to io.Writer }

func (l printableLog) Write(line []byte) (int, error) {
	_, err := fmt.Fprintln(l.to, oneLine(string(line)))
	return len(line), err
}

func oneLine(s string) string { return figures.Printable(strings.Join(strings.Fields(s), " ")) }
