// SPDX-License-Identifier: Apache-2.0

package page

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// patience is how long a look may take, such as when a command keeps the dataplane to
// itself. The page waits for longer.
const patience = 8 * time.Second

// shared answers everybody who asks at about the same time by one look, so that many
// who watch cost no more than one.
type shared[T any] struct {
	// age is how old an answer may become.
	age  time.Duration
	look func(context.Context) (T, error)

	mu     sync.Mutex
	at     time.Time
	answer []byte
	code   int
}

func newShared[T any](age time.Duration, look func(context.Context) (T, error)) *shared[T] {
	return &shared[T]{age: age, look: look}
}

func (s *shared[T]) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	answer, code := s.get()
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write(answer)
}

// get returns the latest answer, or looks for one. It does not do so on behalf of a
// single request, which may be given up while others wait.
func (s *shared[T]) get() (answer []byte, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer != nil && time.Since(s.at) < s.age {
		return s.answer, s.code
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var said any
	said, err := s.look(ctx)
	s.code = http.StatusOK
	if err != nil {
		said, s.code = failure{err.Error()}, http.StatusServiceUnavailable
	}
	if s.answer, err = json.Marshal(said); err != nil {
		s.answer, s.code = nil, http.StatusInternalServerError
	}
	s.at = time.Now()
	return s.answer, s.code
}

// failure says why the dataplane cannot be read.
type failure struct {
	Error string `json:"error"`
}
