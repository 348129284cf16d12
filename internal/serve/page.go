// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net/http"

	"github.com/prometheus/exporter-toolkit/web"
)

// landingPage is a page that leads to the others.
func landingPage(version string) (http.Handler, error) {
	return web.NewLandingPage(web.LandingConfig{
		Name:        "xfwd",
		Description: "Port forwarding at kernel speed",
		Version:     version,
		Profiling:   "false",
		Links: []web.LandingLinks{
			{Address: "/metrics", Text: "Metrics", Description: "for Prometheus"},
			{Address: "/healthz", Text: "Health", Description: "whether this server runs"},
			{Address: "/readyz", Text: "Readiness", Description: "whether the dataplane is loaded and can be read"},
		},
	})
}
