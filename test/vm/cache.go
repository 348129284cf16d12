// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

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
	from, err := mirror(ctx)
	if err != nil {
		return "", err
	}
	for attempt := 1; ; attempt++ {
		fmt.Printf("fetching %s\n", name)
		start := time.Now()
		err := c.fetch(ctx, dir, from, suites, fetch, finish)
		if err == nil {
			fmt.Printf("fetched %s in %.0f s\n", name, time.Since(start).Seconds())
			return dir, nil
		}
		if attempt == attempts || ctx.Err() != nil {
			return "", fmt.Errorf("cannot fetch %s: %w", name, err)
		}
		fmt.Printf("fetching %s failed, and is tried again: %v\n", name, err)
		time.Sleep(pause)
	}
}

// A mirror that does not answer, or that is just changing, does so a little later.
const (
	attempts = 3
	pause    = 10 * time.Second
)

// fetch makes the directory anew, with packages of a mirror.
func (c cache) fetch(ctx context.Context, dir, mirror string, suites []string, fetch func(apt) error, finish func(dir string) error) error {
	temporary, err := os.MkdirTemp(c.dir, "fetching-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	a, err := newAPT(ctx, filepath.Join(temporary, "apt"), mirror, suites...)
	if err != nil {
		return err
	}
	if err := fetch(a); err != nil {
		return err
	}
	root := filepath.Join(temporary, "root")
	if err := a.unpack(ctx, root); err != nil {
		return err
	}
	if finish != nil {
		if err := finish(root); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(root, dir)
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
