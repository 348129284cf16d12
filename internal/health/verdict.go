// SPDX-License-Identifier: Apache-2.0

package health

import "github.com/xfwd/xfwd/internal/ctl"

// verdict is what is thought of a backend, and what speaks against it.
type verdict struct {
	health     ctl.Health
	rise, fall uint8
	// against is how many of the last checks in a row say otherwise.
	against uint8
}

// know takes over what somebody else has found out. What is known already stays, and so
// does what speaks against it.
func (v *verdict) know(health ctl.Health) {
	if health != v.health {
		v.health, v.against = health, 0
	}
}

// hear takes the result of a check, and says whether it makes the backend up or down.
// Of a backend of which nothing is known, one success is enough.
func (v *verdict) hear(success bool) bool {
	if success == (v.health == ctl.HealthUp) && v.health != "" {
		v.against = 0
		return false
	}
	needed, becomes := v.fall, ctl.HealthDown
	switch {
	case success && v.health == "":
		needed, becomes = 1, ctl.HealthUp
	case success:
		needed, becomes = v.rise, ctl.HealthUp
	}
	v.against++
	if v.against < needed {
		return false
	}
	v.health, v.against = becomes, 0
	return true
}
