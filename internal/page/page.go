// SPDX-License-Identifier: Apache-2.0

// Package page is a page that shows the dataplane at work, for people without
// Grafana: HTML, style sheet and scripts that are a part of the program, and what
// they ask for, as the JSON of commands. It changes nothing, and asks nobody else.
package page

import (
	"context"
	"net/http"

	"github.com/klauspost/compress/gzhttp"

	"github.com/xfwd/xfwd/internal/ctl"
)

// Options are what a page shows.
type Options struct {
	// Version is that of the program.
	Version string
	// Measure measures the dataplane that is there at the moment.
	Measure func(context.Context) (ctl.Measurement, error)
	// Status says what is wrong with it, which takes more than one look.
	Status func(context.Context) (ctl.Status, error)
}

// policy lets the page have what it came with, and nothing else: no other host's, no
// script or style within the page, no markup that is made of text, and no frame
// around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// Handler answers at /, and below /page/ and /api/v1/.
func Handler(o Options) (http.Handler, error) {
	mux := http.NewServeMux()
	if err := addFiles(mux, o.Version); err != nil {
		return nil, err
	}
	mux.Handle("GET /api/v1/state", newShared(stateAge, o.state))
	mux.Handle("GET /api/v1/status", newShared(statusAge, o.status))
	return gzhttp.GzipHandler(guarded(mux)), nil
}

// guarded says to browsers what they may do with the answers.
func guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.ServeHTTP(w, r)
	})
}
