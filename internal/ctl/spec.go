// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The keys of a forward in a file. Each is a flag or an argument of `xfwd add`
// as well.
const (
	keyName      = "name"
	keyFrontend  = "frontend"
	keyAddresses = "addresses"
	keyDevices   = "devices"
	keyBackends  = "backends"
	keySource    = "source"

	keySourceAddresses = "sourceAddresses"

	keyBalance   = "balance"
	keyAffinity  = "affinity"
	keyGroup     = "affinityGroup"
	keyOwn       = "own"
	keyCheck     = "check"
	keyMSS       = "mss"
	keyAllow     = "allow"
	keyDeny      = "deny"
	keyComment   = "comment"
	keyExpiresAt = "expiresAt"
)

// Spec is a forward in its user's words, as the command line or a file gives
// them. What is empty was not said.
type Spec struct {
	Name     string
	Frontend string
	// Addresses are those of a frontend that has none in itself: each makes a forward.
	Addresses []string
	Devices   []string
	// Backends may be empty: then clients are refused.
	Backends []string
	Source   string
	// SourceAddresses are those of this host that masqueraded flows have.
	SourceAddresses []string
	Balance         string
	// Affinity is a duration such as 3h.
	Affinity string
	// AffinityGroup is the name of the forwards that share the affinity of a client.
	AffinityGroup string
	Own           string
	// Check is as ParseCheck reads it.
	Check string
	// MSS is as ParseMSS reads it.
	MSS string
	// Allow and Deny are prefixes such as 192.0.2.0/24.
	Allow, Deny []string
	Comment     string
	// Expires is a duration from now on, ExpiresAt a moment as RFC 3339 writes
	// it; one of the two.
	Expires, ExpiresAt string
}

// Forwards returns what the words mean, in canonical form: one forward, or two
// for tcp+udp, for each address. It refuses what this version of xfwd cannot do yet. Errors are
// ErrSyntax.
func (s Spec) Forwards(now time.Time) ([]Forward, error) {
	frontends, err := ParseFrontend(s.Frontend)
	if err != nil {
		return nil, at(keyFrontend, err)
	}
	if frontends, err = s.atAddresses(frontends); err != nil {
		return nil, err
	}
	f := Forward{Name: s.Name, Comment: s.Comment, AffinityGroup: s.AffinityGroup}
	for i, word := range s.Backends {
		b, err := ParseBackend(word)
		if err != nil {
			return nil, atItem(keyBackends, i, err)
		}
		f.Backends = append(f.Backends, b)
	}
	if f.Source, err = choose(keySource, Source(s.Source), Sources()); err != nil {
		return nil, err
	}
	if f.SourceAddresses, err = s.sourceAddresses(f); err != nil {
		return nil, err
	}
	if f.Balance, err = choose(keyBalance, Balance(s.Balance), Balances()); err != nil {
		return nil, err
	}
	if f.Affinity, err = parseDuration(keyAffinity, s.Affinity); err != nil {
		return nil, err
	}
	if f.Own, err = choose(keyOwn, Own(s.Own), Owns()); err != nil {
		return nil, err
	}
	if f.Check, err = s.check(); err != nil {
		return nil, err
	}
	if f.MSS, err = ParseMSS(s.MSS); err != nil {
		return nil, at(keyMSS, err)
	}
	if f.ExpiresAt, err = s.expiry(now); err != nil {
		return nil, err
	}
	if err := checkPrefixes(keyAllow, s.Allow); err != nil {
		return nil, err
	}
	if err := checkPrefixes(keyDeny, s.Deny); err != nil {
		return nil, err
	}
	var forwards []Forward
	for _, fe := range frontends {
		f.Frontend = fe
		f.Frontend.Devices = s.Devices
		if err := f.Validate(); err != nil {
			return nil, err
		}
		forwards = append(forwards, f.Canonical())
	}
	if err := s.unsupported(); err != nil {
		return nil, err
	}
	return forwards, nil
}

// atAddresses returns the frontends with each of the addresses, if there are any.
func (s Spec) atAddresses(frontends []Frontend) ([]Frontend, error) {
	if len(s.Addresses) == 0 {
		return frontends, nil
	}
	if frontends[0].Address.IsValid() {
		return nil, at(keyAddresses, Errorf(ErrSyntax, "frontend %q has an address already; give all of them in %s", s.Frontend, keyAddresses))
	}
	var all []Frontend
	for i, word := range s.Addresses {
		address, err := parseAddress(word)
		if err != nil {
			return nil, atItem(keyAddresses, i, err)
		}
		for _, f := range frontends {
			f.Address = address
			if slices.ContainsFunc(all, f.Equal) {
				return nil, atItem(keyAddresses, i, Errorf(ErrSyntax, "address %s is given twice; give it once", address))
			}
			all = append(all, f)
		}
	}
	return all, nil
}

// Sources returns the choices of --source, the default first.
func Sources() []Source {
	return []Source{SourceAuto, SourcePreserve, SourceMasquerade}
}

// Balances returns the choices of --balance, the default first.
func Balances() []Balance {
	return []Balance{BalanceMaglev, BalanceRoundRobin, BalanceRandom, BalanceLeastConnections, BalanceSourceHash}
}

// Owns returns the choices of --own, the default first.
func Owns() []Own {
	return []Own{OwnAuto, OwnAlways, OwnNever}
}

// choose returns the word if it is one of the choices, and the first of these
// for no word.
func choose[T ~string](key string, word T, choices []T) (T, error) {
	if word == "" {
		return choices[0], nil
	}
	if !slices.Contains(choices, word) {
		return "", at(key, Errorf(ErrSyntax, "%s %q is unknown; choose %s", key, word, orList(choices)))
	}
	return word, nil
}

// words are what each of them is in a file and to people.
func words[T fmt.Stringer](all []T) []string {
	words := make([]string, len(all))
	for i, a := range all {
		words[i] = a.String()
	}
	return words
}

// orList joins words as a sentence does: a, b or c.
func orList[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// parseDuration parses the positive duration of a key; no word is zero.
func parseDuration(key, word string) (time.Duration, error) {
	if word == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(word)
	if err != nil || d <= 0 {
		return 0, at(key, Errorf(ErrSyntax, "%s %q is not a duration; write one like 3h, 10m or 90s", key, word))
	}
	return d, nil
}

// check returns how the backends shall be looked after, or the zero Check for not at
// all.
func (s Spec) check() (Check, error) {
	if s.Check == "" {
		return Check{}, nil
	}
	c, err := ParseCheck(s.Check)
	return c, at(keyCheck, err)
}

// expiry returns when the forward shall end, or the zero Time for never. It ends with a
// second, so that it takes no less than its duration.
func (s Spec) expiry(now time.Time) (time.Time, error) {
	if s.Expires != "" {
		d, err := parseDuration("expires", s.Expires)
		return now.Add(d + time.Second - 1).Truncate(time.Second), err
	}
	if s.ExpiresAt == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s.ExpiresAt)
	// Go takes the year 1 for no time, and RFC 3339 has no year 10000.
	if year := t.UTC().Year(); err != nil || year < 1970 || year > 9999 {
		return time.Time{}, at(keyExpiresAt, Errorf(ErrSyntax, "%s %q is not a moment; write one like 2030-12-31T23:59:00Z", keyExpiresAt, s.ExpiresAt))
	}
	return t, nil
}

func checkPrefixes(key string, words []string) error {
	for i, word := range words {
		p, err := netip.ParsePrefix(word)
		if err != nil {
			return atItem(key, i, Errorf(ErrSyntax, "%s %q is not a prefix; write one like 192.0.2.0/24", key, word))
		}
		if p.Masked() != p {
			return atItem(key, i, Errorf(ErrSyntax, "%s %s has bits behind its length; write %s", key, p, p.Masked()))
		}
	}
	return nil
}
