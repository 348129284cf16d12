// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
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
