// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"errors"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// FileVersion is the apiVersion of the files that this package reads and
// writes.
const FileVersion = "xfwd/v1"

// The keys at the top of a file.
const (
	keyAPIVersion = "apiVersion"
	keyXDP        = "xdp"
	keyForwards   = "forwards"
)

// File is what a file says.
type File struct {
	Forwards []Forward
	// XDP is how devices shall use XDP; those that are not named stay as they are.
	XDP XDPModes
	// Notes say which forwards have been left out because they have expired, one
	// line each.
	Notes []string
}

// ParseFile returns what a file says, the forwards in the order in which it has
// them. Nothing is guessed: whatever is not known, said twice or of the wrong type
// is ErrSyntax, with a text that begins with the given name of the file and
// the line.
func ParseFile(name string, data []byte, now time.Time) (File, error) {
	r := fileReader{name: name, begin: keyAPIVersion + ": " + FileVersion, now: now, seen: newIndex()}
	if err := r.read(data); err != nil {
		return File{}, err
	}
	return File{Forwards: r.seen.forwards, XDP: r.xdp, Notes: r.expired.most("forwards that have expired")}, nil
}

// fileReader collects what one file says.
type fileReader struct {
	name string
	// begin is a first line that a file may have.
	begin string
	now   time.Time
	xdp   XDPModes
	seen  *index
	// lines are where the forwards in seen begin.
	lines []int
	// expired says which are not in seen because they have expired.
	expired messages
}

// errorf returns an ErrSyntax that begins with the place.
func (r *fileReader) errorf(line int, format string, args ...any) error {
	return Errorf(ErrSyntax, "%s:%d: %w", r.name, line, Errorf(ErrSyntax, format, args...))
}

func (r *fileReader) read(data []byte) error {
	top, err := r.document(data)
	if err != nil {
		return err
	}
	values, err := r.mapping(top, []string{keyAPIVersion, keyXDP, keyForwards})
	if err != nil {
		return err
	}
	version, found := values[keyAPIVersion]
	if !found {
		return r.errorf(line(top), "apiVersion is missing; begin the file with %s", r.begin)
	}
	if text, err := r.text(keyAPIVersion, version); err != nil {
		return err
	} else if text != FileVersion {
		return r.errorf(line(version), "apiVersion %q is unknown; this xfwd reads %s", text, FileVersion)
	}
	if err := r.readXDP(top, values); err != nil {
		return err
	}
	forwards, found := values[keyForwards]
	if !found {
		return r.errorf(line(top), "forwards is missing; write forwards: [] for none")
	}
	entries, err := r.list(keyForwards, forwards)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := r.entry(entry); err != nil {
			return err
		}
	}
	return nil
}

// readXDP reads how devices shall use XDP, if the file says so.
func (r *fileReader) readXDP(top ast.Node, values map[string]ast.Node) error {
	n, found := values[keyXDP]
	if !found {
		return nil
	}
	words, err := r.texts(keyXDP, n)
	if err != nil {
		return err
	}
	if r.xdp, err = ParseXDPModes(words); err != nil {
		return r.errorf(r.lineOf(err, top, values), "%w", err)
	}
	return nil
}

// entry reads one forward, two for tcp+udp, and so for each address.
func (r *fileReader) entry(n ast.Node) error {
	values, err := r.mapping(n, entryKeys)
	if err != nil {
		return err
	}
	spec, err := r.spec(values)
	if err != nil {
		return err
	}
	for _, key := range []string{keyFrontend, keyBackends} {
		if _, found := values[key]; !found {
			return r.errorf(line(n), "the forward has no %s; add one", key)
		}
	}
	if n, found := values[keyAddresses]; found && len(spec.Addresses) == 0 {
		return r.errorf(line(n), "%s is empty; give at least one, or remove the key for every address of this host", keyAddresses)
	}
	forwards, err := spec.Forwards(r.now)
	if err != nil {
		return r.errorf(r.lineOf(err, n, values), "%w", err)
	}
	if f := forwards[0]; !f.ExpiresAt.IsZero() && !f.ExpiresAt.After(r.now) {
		for _, f := range forwards {
			r.expired.add("%s:%d: %s has expired", r.name, line(n), f)
		}
		return nil
	}
	for _, f := range forwards {
		if rival, found := r.seen.rival(f); found {
			return r.twice(f, rival, n, values)
		}
	}
	for _, f := range forwards {
		r.seen.add(f)
		r.lines = append(r.lines, line(n))
	}
	return nil
}

// twice says that a forward cannot stand beside one further up.
func (r *fileReader) twice(f Forward, rival int, n ast.Node, values map[string]ast.Node) error {
	first := r.seen.forwards[rival]
	switch {
	case f.Frontend.Equal(first.Frontend):
		return r.errorf(line(values[keyFrontend]), "frontend %s is given twice, first for the forward in line %d; remove one", f.Frontend.Label(), r.lines[rival])
	case f.Frontend.Conflicts(first.Frontend):
		return r.errorf(line(values[keyFrontend]), "frontend %s overlaps %s of the forward in line %d; give each port to one", f.Frontend.Label(), first.Frontend.Label(), r.lines[rival])
	}
	return r.errorf(line(values[keyName]), "name %q is given twice, first to the forward in line %d; choose another", f.Name, r.lines[rival])
}

// lineOf returns the line of the words that a Spec's error is about.
func (r *fileReader) lineOf(err error, entry ast.Node, values map[string]ast.Node) int {
	var place *placeError
	if !errors.As(err, &place) {
		return line(entry)
	}
	switch n := values[place.key].(type) {
	case nil:
		return line(entry)
	case *ast.SequenceNode:
		if place.item < len(n.Values) {
			return line(n.Values[place.item])
		}
		return line(n)
	default:
		return line(n)
	}
}

// entryKeys are the keys of a forward, in the order in which they are written.
var entryKeys = []string{
	keyName, keyFrontend, keyAddresses, keyDevices, keyBackends, keySource, keySourceAddresses, keyBalance, keyAffinity, keyGroup, keyOwn, keyCheck, keyMSS,
	keyAllow, keyDeny, keyComment, keyExpiresAt,
}

// spec takes the words of a forward out of its mapping.
func (r *fileReader) spec(values map[string]ast.Node) (Spec, error) {
	var s Spec
	texts := map[string]*string{
		keyName: &s.Name, keyFrontend: &s.Frontend, keySource: &s.Source, keyBalance: &s.Balance,
		keyAffinity: &s.Affinity, keyGroup: &s.AffinityGroup, keyOwn: &s.Own, keyCheck: &s.Check, keyMSS: &s.MSS, keyComment: &s.Comment, keyExpiresAt: &s.ExpiresAt,
	}
	lists := map[string]*[]string{
		keyAddresses: &s.Addresses, keyDevices: &s.Devices, keyBackends: &s.Backends, keyAllow: &s.Allow, keyDeny: &s.Deny,
		keySourceAddresses: &s.SourceAddresses,
	}
	for _, key := range entryKeys {
		n, found := values[key]
		if !found {
			continue
		}
		var err error
		if text := texts[key]; text != nil {
			*text, err = r.text(key, n)
		} else {
			*lists[key], err = r.texts(key, n)
		}
		if err != nil {
			return Spec{}, err
		}
	}
	return s, nil
}
