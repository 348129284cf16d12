// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lock is a lock on the pin directory. It ends with Unlock or the process.
type lock struct{ file *os.File }

// lockPatience is how long a command waits for others. One takes milliseconds,
// unless it has many flows to end.
const lockPatience = 30 * time.Second

// lockRoot locks the directory: exclusively to write, shared to read. Only
// readers get fs.ErrNotExist; ensure makes the directory for writers, again if
// another command removes it meanwhile.
func lockRoot(ctx context.Context, exclusive bool, ensure func() (path string, err error)) (*lock, string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience, errors.New("another xfwd command holds the lock for too long; wait for it, or end it"))
	defer cancel()
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	for {
		path, err := ensure()
		if err != nil {
			return nil, "", err
		}
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) && exclusive {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if err := flock(ctx, file, how); err != nil {
			return nil, "", explain("lock "+path, err)
		}
		if sameFile(file, path) {
			return &lock{file}, path, nil
		}
		file.Close()
	}
}

// flock waits for its turn: the kernel serves those who wait in order, and they
// take no time from the one that works. It closes the file unless it returns nil.
func flock(ctx context.Context, file *os.File, how int) error {
	locked := make(chan error)
	go func() {
		err := ignoringEINTR(func() error { return unix.Flock(int(file.Fd()), how) })
		select {
		case locked <- err:
		case <-ctx.Done():
			file.Close()
		}
	}()
	select {
	case err := <-locked:
		if err != nil {
			file.Close()
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func ignoringEINTR(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// sameFile says whether the directory that we have locked is still the one of
// that name; otherwise its last user has removed it.
func sameFile(file *os.File, path string) bool {
	ours, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(ours, there)
}

func (l *lock) Unlock() { l.file.Close() }
