// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"

	"github.com/xfwd/xfwd/internal/loader"
)

// Expire deletes the forwards that have expired, as the next change would, and returns
// them. Without it they are refused their clients all the same. While none has, it
// changes nothing.
func (i *Instance) Expire(ctx context.Context) ([]Forward, error) {
	due := false
	err := i.read(ctx, func(d *loader.Dataplane) (err error) {
		due, err = d.Maps.AnyExpired(d.Settings.Epoch)
		return err
	})
	if err != nil || !due {
		return nil, err
	}
	r, err := i.Reconcile(ctx)
	return r.Expired, err
}

// expiryNotes says which forwards have expired.
func expiryNotes(expired []Forward) []string {
	var notes messages
	for _, f := range expired {
		notes.add("%s has expired", f)
	}
	return notes.most("forwards that have expired")
}
