// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lock is a lock on the pin directory. It ends with Unlock or the process.
type lock struct{ file *os.File }

// lockPatience is how long a command waits for others. One takes milliseconds,
// unless it has many flows to end.
const lockPatience = 30 * time.Second

// turnName is a directory in the pin directory. A writer that waits for others to end
// locks it exclusively, and readers that come then wait there: otherwise readers that
// follow one another without a gap would keep writers out.
const turnName = "turn"

// lockRoot locks the directory: exclusively to write, shared to read. Only
// readers get fs.ErrNotExist; ensure makes the directory for writers, again if
// another command removes it meanwhile.
func lockRoot(ctx context.Context, exclusive bool, ensure func() (path string, err error)) (*lock, string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience, errors.New("another xfwd command holds the lock for too long; wait for it, or end it"))
	defer cancel()
	for {
		path, err := ensure()
		if err != nil {
			return nil, "", err
		}
		l, err := lockDirectory(ctx, path, exclusive)
		if errors.Is(err, fs.ErrNotExist) && exclusive {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if sameFile(l.file, path) {
			return l, path, nil
		}
		l.Unlock()
	}
}

// lockDirectory locks a directory after all those who have come before.
func lockDirectory(ctx context.Context, path string, exclusive bool) (*lock, error) {
	file, err := openTrusted(path)
	if err != nil {
		return nil, err
	}
	turn, err := takeTurn(ctx, filepath.Join(path, turnName), exclusive)
	if err != nil {
		file.Close()
		return nil, err
	}
	if turn != nil {
		defer turn.Close()
	}
	if err := flock(ctx, file, exclusive); err != nil {
		return nil, explain("lock "+path, err)
	}
	return &lock{file}, nil
}

// takeTurn locks the directory of turns. Writers make it; without one there is no writer to
// wait for.
func takeTurn(ctx context.Context, path string, exclusive bool) (*os.File, error) {
	if exclusive {
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	file, err := openTrusted(path)
	if errors.Is(err, fs.ErrNotExist) && !exclusive {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, file, exclusive); err != nil {
		return nil, explain("lock "+path, err)
	}
	return file, nil
}

// openTrusted opens a directory that no other user can have made, move or lock.
func openTrusted(path string) (*os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := trusted(file, path); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// Each that waits in the kernel takes a thread, also when it has given up. Others of this
// process wait until one of these has its turn.
var (
	waitingReaders = make(chan struct{}, mostWaiting)
	waitingWriters = make(chan struct{}, mostWaiting)
)

const mostWaiting = 4

// flock waits for its turn: the kernel serves those who wait in order, and they
// take no time from the one that works. It closes the file unless it returns nil.
func flock(ctx context.Context, file *os.File, exclusive bool) error {
	how, waiting := unix.LOCK_SH, waitingReaders
	if exclusive {
		how, waiting = unix.LOCK_EX, waitingWriters
	}
	err := ignoringEINTR(func() error { return unix.Flock(int(file.Fd()), how|unix.LOCK_NB) })
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		file.Close()
		return err
	}
	select {
	case waiting <- struct{}{}:
	case <-ctx.Done():
		file.Close()
		return context.Cause(ctx)
	}
	locked := make(chan error)
	go func() {
		err := ignoringEINTR(func() error { return unix.Flock(int(file.Fd()), how) })
		<-waiting
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

// removeRoot removes the pin directory if there is no dataplane in it.
func removeRoot(path string) {
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) > 1 || len(entries) == 1 && entries[0].Name() != turnName {
		return
	}
	// Somebody who waits may make it anew.
	_ = os.Remove(filepath.Join(path, turnName))
	_ = os.Remove(path)
}

func (l *lock) Unlock() { l.file.Close() }
