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
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	deadline := time.Now().Add(lockPatience)
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
		err = unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
		if err == nil && sameFile(file, path) {
			return &lock{file}, path, nil
		}
		file.Close()
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, "", explain("lock "+path, err)
		}
		if time.Now().After(deadline) {
			return nil, "", errors.New("another xfwd command holds the lock for too long: wait for it, or end it")
		}
		select {
		case <-ctx.Done():
			return nil, "", ctx.Err()
		case <-time.After(2 * time.Millisecond):
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
