// SPDX-License-Identifier: Apache-2.0

package ctl

// placeError says which words of a Spec an error is about, for the reader of a
// file to find their line. Its text is the error's.
type placeError struct {
	key string
	// item is the position in a list, 0 for what is none.
	item int
	error
}

func (e *placeError) Unwrap() error { return e.error }

// at places an error at the value of a key; nil stays nil.
func at(key string, err error) error { return atItem(key, 0, err) }

// atItem places an error at an item of the list of a key; nil stays nil.
func atItem(key string, item int, err error) error {
	if err == nil {
		return nil
	}
	return &placeError{key, item, err}
}
