// SPDX-License-Identifier: Apache-2.0

package ctl

// NotInThisVersion refuses words of the command line's contract whose meaning
// this version does not implement. The error is ErrSyntax.
func NotInThisVersion(what, remedy string) error {
	return Errorf(ErrSyntax, "%s not in this version of xfwd; %s", what, remedy)
}

// unsupported refuses what a valid Spec asks of the dataplane in vain.
func (s Spec) unsupported() error {
	switch {
	case len(s.Allow) > 0:
		return at(keyAllow, NotInThisVersion("allow is", "leave it out and filter with nftables at the backend's port"))
	case len(s.Deny) > 0:
		return at(keyDeny, NotInThisVersion("deny is", "leave it out and filter with nftables at the backend's port"))
	}
	return nil
}
