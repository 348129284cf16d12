// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/xfwd/xfwd/internal/ctl"
)

// Upkeep counts what the program itself does to the dataplane, from its start on.
type Upkeep struct {
	reconciled prometheus.Histogram
	errors     *prometheus.CounterVec
	ended      prometheus.Counter
	whole      prometheus.Counter
	swept      *prometheus.CounterVec
	expired    prometheus.Counter
}

var (
	reconcileSeconds = histogram("reconcile_duration_seconds", "What it took to bring the dataplane up to date with the host.")
	reconcileErrors  = ownCounter("reconcile_errors_total", "Attempts to bring the dataplane up to date that failed.", "what")
	nextHopsEnded    = ownCounter("next_hops_ended_total", "How often all next hops were looked up again because routes or neighbours had changed.")
	wholeLooks       = ownCounter("reconcile_whole_total", "How often the dataplane was compared with the whole host, not with what had changed.")
	sweptEntries     = ownCounter("swept_total", "Flows and fragmented datagrams that had expired and were forgotten.", "what")
	expired          = ownCounter("expired_total", "Forwards that had expired and were deleted.")
)

// The words of the label what.
const (
	ofHost, ofNextHops   = "host", "next-hops"
	ofFlows, ofFragments = "flows", "fragments"
)

// NewUpkeep returns one that counts in a registry.
func NewUpkeep(registry prometheus.Registerer) *Upkeep {
	u := &Upkeep{
		reconciled: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: reconcileSeconds.Name, Help: reconcileSeconds.Help,
			// From a few devices to thousands of forwards.
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		errors: reconcileErrors.vector(),
		swept:  sweptEntries.vector(),
	}
	ended := nextHopsEnded.vector()
	u.ended = ended.WithLabelValues()
	whole := wholeLooks.vector()
	u.whole = whole.WithLabelValues()
	deleted := expired.vector()
	u.expired = deleted.WithLabelValues()
	for _, what := range []string{ofHost, ofNextHops} {
		u.errors.WithLabelValues(what)
	}
	for _, what := range []string{ofFlows, ofFragments} {
		u.swept.WithLabelValues(what)
	}
	registry.MustRegister(u.reconciled, u.errors, ended, whole, u.swept, deleted)
	return u
}

// Whole counts a look at the host as a whole, beside Reconciled.
func (u *Upkeep) Whole() { u.whole.Inc() }

// Reconciled counts a look at the host, or at what has changed of it.
func (u *Upkeep) Reconciled(took time.Duration, err error) {
	if err != nil {
		u.errors.WithLabelValues(ofHost).Inc()
		return
	}
	u.reconciled.Observe(took.Seconds())
}

// NextHopsEnded counts a change of routes or neighbours.
func (u *Upkeep) NextHopsEnded(err error) {
	if err != nil {
		u.errors.WithLabelValues(ofNextHops).Inc()
		return
	}
	u.ended.Inc()
}

// Swept counts what was forgotten.
func (u *Upkeep) Swept(s ctl.Swept) {
	u.swept.WithLabelValues(ofFlows).Add(float64(s.Flows))
	u.swept.WithLabelValues(ofFragments).Add(float64(s.Fragments))
}

// Expired counts forwards that were deleted.
func (u *Upkeep) Expired(forwards int) { u.expired.Add(float64(forwards)) }
