// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xfwd/xfwd/internal/loader"
)

// Events that come together are dealt with together, and a stream of them not too late.
func TestCrowd(t *testing.T) {
	for name, c := range map[string]struct {
		events []loader.Event
		every  time.Duration
		want   loader.Event
		took   time.Duration
	}{
		"one":           {[]loader.Event{loader.NextHopsChanged}, 0, loader.NextHopsChanged, gather},
		"a device":      {[]loader.Event{loader.HostChanged, loader.NextHopsChanged, loader.NextHopsChanged}, gather / 2, loader.HostChanged, 2 * gather},
		"without end":   {make([]loader.Event, 100), gather / 2, loader.NextHopsChanged, patience},
		"one after one": {[]loader.Event{loader.NextHopsChanged, loader.HostChanged}, 2 * gather, loader.NextHopsChanged, gather},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events := make(chan loader.Event, len(c.events))
				var teller sync.WaitGroup
				teller.Go(func() {
					for _, e := range c.events {
						events <- e
						time.Sleep(c.every)
					}
				})
				defer teller.Wait()
				begin := time.Now()
				got, more := crowd(t.Context(), events)
				if took := time.Since(begin); got != c.want || !more || took != c.took {
					t.Errorf("%d, %v after %v; want %d after %v", got, more, took, c.want, c.took)
				}
			})
		})
	}
}
