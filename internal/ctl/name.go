// SPDX-License-Identifier: Apache-2.0

package ctl

import "strings"

const (
	maxName      = 63
	letters      = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits       = "0123456789"
	alphanumeric = letters + digits
)

// looksLikeName tells a NAME from a FRONTEND where either may stand. A name
// has a letter, which no port or IPv4 address has, and neither the colon of an
// address nor the slash of a protocol.
func looksLikeName(s string) bool {
	return strings.ContainsAny(s, letters) && !strings.ContainsAny(s, ":/")
}

// checkName accepts the names of forwards. The empty name, for none, is the
// caller's to allow.
func checkName(s string) error {
	const remedy = "use 1 to 63 letters, digits, '-', '_' and '.'"
	switch {
	case s == "":
		return Errorf(ErrSyntax, "a name is empty; %s", remedy)
	case len(s) > maxName:
		return Errorf(ErrSyntax, "name %q is longer than %d characters; %s", s, maxName, remedy)
	case strings.ContainsFunc(s, notInName):
		return Errorf(ErrSyntax, "name %q has a character that names do not have; %s", s, remedy)
	case !strings.ContainsAny(s[:1], alphanumeric):
		return Errorf(ErrSyntax, "name %q must begin with a letter or a digit", s)
	case !looksLikeName(s):
		return Errorf(ErrSyntax, "name %q could be taken for a port or an address; give it a letter", s)
	}
	return nil
}

func notInName(r rune) bool { return !strings.ContainsRune(alphanumeric+"-_.", r) }
