// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xfwd/xfwd/internal/loader"
)

// Events that come together are dealt with together, and a stream of them not too late.
func TestCrowd(t *testing.T) {
	nextHops, whole := loader.Change{NextHops: true}, loader.WholeChange()
	for name, c := range map[string]struct {
		events []loader.Change
		every  time.Duration
		want   loader.Change
		took   time.Duration
	}{
		"one":           {[]loader.Change{nextHops}, 0, nextHops, gather},
		"a device":      {[]loader.Change{whole, nextHops, nextHops}, gather / 2, loader.Change{Everything: true, NextHops: true}, 2 * gather},
		"without end":   {slices.Repeat([]loader.Change{nextHops}, 100), gather / 2, nextHops, patience},
		"one after one": {[]loader.Change{nextHops, whole}, 2 * gather, nextHops, gather},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events := make(chan loader.Change, len(c.events))
				var teller sync.WaitGroup
				teller.Go(func() {
					for _, e := range c.events {
						events <- e
						time.Sleep(c.every)
					}
				})
				defer teller.Wait()
				begin := time.Now()
				got, more := crowd(t.Context(), events, nil)
				if took := time.Since(begin); !reflect.DeepEqual(got.Change, c.want) || !more || took != c.took {
					t.Errorf("%+v, %v after %v; want %+v after %v", got.Change, more, took, c.want, c.took)
				}
			})
		})
	}
}
