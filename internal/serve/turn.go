// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"time"
)

// oneByOne answers one request after the other, for each takes memory: with ten
// thousand forwards, a hundred megabytes. A few may wait for their turn. When nobody
// has asked for a while, the memory is given back.
func oneByOne(next http.Handler, quiet time.Duration) http.Handler {
	places, turn := make(chan struct{}, mostScrapes), make(chan struct{}, 1)
	idle := time.AfterFunc(quiet, returnMemory)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			http.Error(w, "too many scrapes at once", http.StatusServiceUnavailable)
			return
		}
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-r.Context().Done():
			return
		}
		defer idle.Reset(quiet)
		next.ServeHTTP(w, r)
	})
}

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
