// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// notes is a directory of notes to the next command, on a BPF file system, which
// has no files for text. But the target of a symbolic link can be any text of at
// most 4095 bytes.
type notes string

// read returns the text of a note, and whether there is one.
func (n notes) read(name string) (text string, found bool, err error) {
	text, err = os.Readlink(filepath.Join(string(n), name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return text, err == nil, explain("read the note "+name, err)
}

// write makes or replaces a note; the text must not be empty. Who is killed
// meanwhile leaves the old note or the new one.
func (n notes) write(name, text string) error {
	if old, found, err := n.read(name); err != nil || found && old == text {
		return err
	}
	fresh := filepath.Join(string(n), "new-"+name)
	err := os.Remove(fresh)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.Symlink(text, fresh)
	}
	if err == nil {
		err = os.Rename(fresh, filepath.Join(string(n), name))
	}
	return explain("write the note "+name, err)
}

// remove removes a note. It is no error when there is none.
func (n notes) remove(name string) error {
	err := os.Remove(filepath.Join(string(n), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return explain("remove the note "+name, err)
}
