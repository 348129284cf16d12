// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"syscall"
)

// newFile is a file that is about to be written. A reader sees the old file or
// the new one, never a part.
type newFile struct {
	path string
	// directory is locked while the contents are made, so that of two writers
	// the later one has seen what the earlier one did.
	directory *os.File
	// temporary becomes the file. What is no regular file, such as a pipe, is
	// written in place.
	temporary *os.File
	inPlace   bool
	placed    bool
}

// createFile prepares to write a file and makes its directory. It fails if
// that cannot be done. The file must be discarded afterwards in any case.
func createFile(path string) (*newFile, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	f := &newFile{path: path}
	if err := f.open(); err != nil {
		f.discard()
		return nil, fileError("write", path, err)
	}
	return f, nil
}

func (f *newFile) open() error {
	if info, err := os.Stat(f.path); err == nil && !info.Mode().IsRegular() {
		f.inPlace = true
		f.temporary, err = os.OpenFile(f.path, os.O_WRONLY, 0)
		return err
	}
	directory := filepath.Dir(f.path)
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	var err error
	if f.directory, err = os.Open(directory); err != nil {
		return err
	}
	f.temporary, err = os.CreateTemp(directory, "."+filepath.Base(f.path)+".*")
	return err
}

// commit writes what contents returns and puts it in place.
func (f *newFile) commit(contents func() ([]byte, error)) error {
	if !f.inPlace {
		if err := syscall.Flock(int(f.directory.Fd()), syscall.LOCK_EX); err != nil {
			return fileError("lock", filepath.Dir(f.path), err)
		}
	}
	data, err := contents()
	if err != nil {
		return err
	}
	if err := f.write(data); err != nil {
		return fileError("write", f.path, err)
	}
	return nil
}

func (f *newFile) write(data []byte) error {
	if _, err := f.temporary.Write(data); err != nil || f.inPlace {
		return err
	}
	if err := f.temporary.Chmod(0o644); err != nil {
		return err
	}
	if err := f.temporary.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.temporary.Name(), f.path); err != nil {
		return err
	}
	f.placed = true
	return f.directory.Sync()
}

// discard releases what createFile took, and removes what was not put in
// place.
func (f *newFile) discard() {
	if f.temporary != nil {
		f.temporary.Close()
		if !f.inPlace && !f.placed {
			os.Remove(f.temporary.Name())
		}
	}
	if f.directory != nil {
		f.directory.Close()
	}
}
