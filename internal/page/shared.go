// SPDX-License-Identifier: Apache-2.0

package page

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/xfwd/xfwd/internal/figures"
	"github.com/xfwd/xfwd/internal/share"
)

// patience is how long a look may take, such as when a command keeps the dataplane to
// itself. The page waits for longer.
const patience = 8 * time.Second

// shared answers everybody who asks at about the same time by one look, so that many
// who watch cost no more than one.
type shared struct{ looks *share.Look[answer] }

// answer is what all get.
type answer struct {
	body []byte
	code int
}

// newShared makes answers of what look returns. They may become as old as age.
func newShared[T any](age time.Duration, look func(context.Context) (T, error)) shared {
	return shared{share.New(share.Options{Age: age, Patience: patience}, func(ctx context.Context) (answer, error) {
		var said any
		a := answer{code: http.StatusOK}
		said, err := look(ctx)
		if err != nil {
			said, a.code = failure{err.Error()}, http.StatusServiceUnavailable
		}
		if a.body, err = json.Marshal(said); err != nil {
			a = answer{code: http.StatusInternalServerError}
		}
		// It may be read in a terminal, too.
		a.body = figures.PrintableJSON(a.body)
		return a, nil
	})}
}

func (s shared) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := s.looks.Get(r.Context())
	if err != nil {
		return // the client has gone
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(a.code)
	w.Write(a.body)
}

// failure says why the dataplane cannot be read.
type failure struct {
	Error string `json:"error"`
}
