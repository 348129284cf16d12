// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// Checks counts the checks of backends that the program makes, from its start on.
type Checks struct {
	success, failure prometheus.Counter
}

var checks = ownCounter("checks_total", "Checks of backends that were made.", "result")

// NewChecks returns one that counts in a registry.
func NewChecks(registry prometheus.Registerer) *Checks {
	counts := checks.vector()
	registry.MustRegister(counts)
	return &Checks{counts.WithLabelValues("success"), counts.WithLabelValues("failure")}
}

// Checked counts a check.
func (c *Checks) Checked(success bool) {
	if success {
		c.success.Inc()
	} else {
		c.failure.Inc()
	}
}
