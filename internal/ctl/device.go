// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"slices"
	"strings"
	"unicode"
)

// maxDeviceName is the kernel's IFNAMSIZ less the final zero byte.
const maxDeviceName = 15

// loopback is the device by which this host's own connections arrive.
const loopback = "lo"

// checkDevice accepts what the kernel accepts as the name of a network device,
// less what a table or a file could not show.
func checkDevice(s string) error {
	const remedy = "give a name that `ip link` shows"
	switch {
	case s == "":
		return Errorf(ErrSyntax, "a device has no name; %s", remedy)
	case len(s) > maxDeviceName:
		return Errorf(ErrSyntax, "device %q is longer than %d bytes; %s", s, maxDeviceName, remedy)
	case s == "." || s == "..":
		return Errorf(ErrSyntax, "device %q cannot exist; %s", s, remedy)
	case strings.ContainsFunc(s, badInDevice):
		return Errorf(ErrSyntax, "device %q has a character that no device has; %s", s, remedy)
	}
	return nil
}

func badInDevice(r rune) bool {
	return r == '/' || r == ':' || r == unicode.ReplacementChar || unicode.IsSpace(r) || !unicode.IsPrint(r)
}

// canonicalDevices sorts and removes duplicates; none is nil.
func canonicalDevices(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// shareDevice reports whether some packet arrives on a device of both and
// neither set is the more specific: both are empty (any device), or they have
// a device in common.
func shareDevice(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return slices.ContainsFunc(a, func(d string) bool { return slices.Contains(b, d) })
}
