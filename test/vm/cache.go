// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// cache keeps what was fetched, outside of the repository.
type cache struct {
	dir string
	// update has everything fetched anew.
	update bool
}

func openCache() (cache, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return cache{}, err
	}
	return cache{dir: filepath.Join(dir, "xfwd", "vm")}, nil
}

// get returns the directory of that name. If there is none, what some packages
// hold becomes it: fetch has an apt download them, and finish, which may be nil,
// works on what was unpacked.
func (c cache) get(ctx context.Context, name string, suites []string, fetch func(apt) error, finish func(dir string) error) (string, error) {
	dir := filepath.Join(c.dir, name)
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(c.dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil && !c.update {
		return dir, nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	fmt.Printf("fetching %s\n", name)
	temporary, err := os.MkdirTemp(c.dir, "fetching-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temporary)
	a, err := newAPT(ctx, filepath.Join(temporary, "apt"), suites...)
	if err != nil {
		return "", err
	}
	if err := fetch(a); err != nil {
		return "", err
	}
	root := filepath.Join(temporary, "root")
	if err := a.unpack(ctx, root); err != nil {
		return "", err
	}
	if finish != nil {
		if err := finish(root); err != nil {
			return "", err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.Rename(root, dir)
}

// lock waits until nobody else holds the lock.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}
