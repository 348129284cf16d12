// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace.
type Namespace struct {
	file *os.File
	// id is the number of its inode. A namespace that is gone may leave it to
	// another.
	id uint64
	// cookie is the kernel's own number, which never comes back.
	cookie uint64
}

// netnsDir is where `ip netns` keeps its names.
const netnsDir = "/run/netns"

// OpenNamespace opens a network namespace by its name as of `ip netns`, by its
// path if there is a slash in it, or, if empty, the caller's own.
func OpenNamespace(name string) (*Namespace, error) {
	path := name
	switch {
	case name == "":
		path = "/proc/thread-self/ns/net"
	case !strings.Contains(name, "/"):
		path = filepath.Join(netnsDir, name)
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errorf(ErrNoNamespace, "there is no network namespace %q; `ip netns list` shows those that have names", name)
	}
	if err != nil {
		return nil, explain("open the network namespace", err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		file.Close()
		return nil, err
	}
	n := &Namespace{file: file, id: stat.Ino}
	err = n.Do(func() (err error) {
		n.cookie, err = readCookie()
		return err
	})
	if err != nil {
		file.Close()
		return nil, err
	}
	return n, nil
}

// Close closes the handle; the namespace is as it was.
func (n *Namespace) Close() error { return n.file.Close() }

// namespacePrefix begins the names of directories of namespaces.
const namespacePrefix = "net-"

// directory is the name of the namespace's directory below the root.
func (n *Namespace) directory() string { return fmt.Sprintf("%s%d", namespacePrefix, n.id) }

// Do calls f in the namespace. f must not start goroutines that rely on it.
func (n *Namespace) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Told also when f ends the goroutine, as a failing test does.
		err := errors.New("interrupted in the network namespace")
		defer func() { done <- err }()
		err = n.enter(f)
	}()
	return <-done
}

// enter calls f on a thread that it moves to the namespace, unless it is there: that
// is not allowed without CAP_SYS_ADMIN. A thread that cannot return stays locked, and
// so ends with its goroutine.
func (n *Namespace) enter(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(home.Fd()), &stat); err != nil {
		return err
	}
	if stat.Ino == n.id {
		defer runtime.UnlockOSThread()
		return f()
	}
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		return explain("enter the network namespace "+n.file.Name(), err)
	}
	err = f()
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}
