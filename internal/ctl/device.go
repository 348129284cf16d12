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

// maxOtherName is the kernel's ALTIFNAMSIZ less the final zero byte.
const maxOtherName = 127

// checkDevice accepts what a forward can be bound to: what the kernel accepts as the name
// or the alternative name of a network device, less what a table or a file could not show,
// and a pattern such as ppp+, which is every device whose name begins so.
func checkDevice(s string) error {
	prefix, isPattern := pattern(s)
	switch {
	case isPattern && prefix == "":
		return Errorf(ErrSyntax, "device %q would be every device; leave it out to mean that", s)
	case isPattern:
		return checkMainName(prefix)
	default:
		return checkDeviceName(s, maxOtherName)
	}
}

// checkMainName accepts the name of a device.
func checkMainName(s string) error { return checkDeviceName(s, maxDeviceName) }

func checkDeviceName(s string, longest int) error {
	const remedy = "give a name that `ip link` shows"
	switch {
	case s == "":
		return Errorf(ErrSyntax, "a device has no name; %s", remedy)
	case len(s) > longest:
		return Errorf(ErrSyntax, "device %q is longer than %d bytes; %s", s, longest, remedy)
	case s == "." || s == "..":
		return Errorf(ErrSyntax, "device %q cannot exist; %s", s, remedy)
	case strings.ContainsFunc(s, badInDevice):
		return Errorf(ErrSyntax, "device %q has a character that no device has; %s", s, remedy)
	}
	return nil
}

// pattern returns the prefix of a pattern: ppp of ppp+.
func pattern(s string) (prefix string, is bool) { return strings.CutSuffix(s, "+") }

// covers says whether a word for devices means every device that another word means, as
// far as the words tell.
func covers(word, other string) bool {
	prefix, isPattern := pattern(word)
	if !isPattern {
		return word == other
	}
	other, _ = pattern(other)
	return strings.HasPrefix(other, prefix)
}

// arrivesBy says whether packets that arrive by a device of this name may be for the
// frontend.
func (f Frontend) arrivesBy(device string) bool {
	return len(f.Devices) == 0 || slices.ContainsFunc(f.Devices, func(word string) bool { return covers(word, device) })
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

// shareDevice reports whether some packet arrives on a device of both and neither
// set is the more specific: both are empty (any device), or they have a word in common. A
// name is more specific than a pattern, and a longer pattern than a shorter one.
func shareDevice(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return slices.ContainsFunc(a, func(word string) bool { return slices.Contains(b, word) })
}

// meetOnDevice reports whether words of both sets mean some device, as far as they tell.
func meetOnDevice(a, b []string) bool {
	return slices.ContainsFunc(a, func(word string) bool {
		return slices.ContainsFunc(b, func(other string) bool { return covers(word, other) || covers(other, word) })
	})
}
