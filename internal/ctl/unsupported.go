// SPDX-License-Identifier: Apache-2.0

package ctl

// NotInThisVersion refuses words of the command line's contract whose meaning
// this version does not implement. The error is ErrSyntax.
func NotInThisVersion(what, remedy string) error {
	return Errorf(ErrSyntax, "%s not in this version of xfwd; %s", what, remedy)
}

// unsupported refuses what a valid Spec, of which f was made, asks of the
// dataplane in vain.
func (s Spec) unsupported(f Forward) error {
	switch {
	case len(f.Backends) > 1:
		return atItem(keyBackends, 1, NotInThisVersion("more than one backend is", "give one"))
	case f.Backends[0].Weight != defaultWeight:
		return at(keyBackends, NotInThisVersion("a weight other than 1 is", "leave it out"))
	case f.Source == SourceMasquerade:
		return at(keySource, NotInThisVersion("source masquerade is", "leave it out, the backend sees the client's address"))
	case f.Balance != BalanceMaglev:
		return at(keyBalance, NotInThisVersion("balance "+string(f.Balance)+" is", "leave it out"))
	case f.Affinity != 0:
		return at(keyAffinity, NotInThisVersion("affinity is", "leave it out, one backend gets every client"))
	case len(s.Allow) > 0:
		return at(keyAllow, NotInThisVersion("allow is", "leave it out and filter with nftables at the backend's port"))
	case len(s.Deny) > 0:
		return at(keyDeny, NotInThisVersion("deny is", "leave it out and filter with nftables at the backend's port"))
	case !f.ExpiresAt.IsZero():
		return at(keyExpiresAt, NotInThisVersion("an expiry is", "leave it out and run `xfwd del` when it is time"))
	}
	return nil
}
