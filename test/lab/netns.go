// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// runDir is where `ip netns` looks for namespaces.
const runDir = "/run/netns"

// Namespace is a network namespace that `ip netns` can see.
type Namespace struct {
	// Name is unique on this machine.
	Name string

	lab    *Lab
	handle netns.NsHandle
	links  *netlink.Handle
	// udpClients counts the ports that UDP clients were given.
	udpClients atomic.Uint32
}

// Namespace makes a network namespace. Role is the readable end of its name.
// Loopback is up, reverse path filtering is off, IPv6 addresses are usable at
// once, and ICMP errors are not limited in their rate.
func (l *Lab) Namespace(role string) *Namespace {
	l.tb.Helper()
	n := l.open(role, makeNamespace)
	// IPv4 settings of a new namespace are copies of the machine's.
	for _, scope := range []string{"all", "default"} {
		n.Sysctl("net.ipv4.conf."+scope+".rp_filter", "0")
		n.Sysctl("net.ipv6.conf."+scope+".accept_dad", "0")
		n.Sysctl("net.ipv6.conf."+scope+".router_solicitations", "0")
	}
	n.Sysctl("net.ipv4.icmp_ratelimit", "0")
	n.Sysctl("net.ipv6.icmp.ratelimit", "0")
	n.Up("lo")
	return n
}

// NamespaceOf gives the network namespace of a process a name, such as that of a
// container. Its settings stay as they are, and it lives as long as the process.
func (l *Lab) NamespaceOf(pid int, role string) *Namespace {
	l.tb.Helper()
	return l.open(role, func(name string) error { return nameNamespace(name, fmt.Sprintf("/proc/%d/ns/net", pid)) })
}

// open opens the namespace that create has given a name.
func (l *Lab) open(role string, create func(name string) error) *Namespace {
	l.tb.Helper()
	n := &Namespace{Name: l.id + "-" + role, lab: l}
	if err := create(n.Name); err != nil {
		l.tb.Fatalf("making namespace %s: %v", n.Name, err)
	}
	l.tb.Cleanup(func() {
		if err := removeNamespace(n.Name); err != nil {
			l.tb.Errorf("removing namespace %s: %v", n.Name, err)
		}
	})
	var err error
	if n.handle, err = netns.GetFromPath(n.Path()); err != nil {
		l.tb.Fatalf("opening namespace %s: %v", n.Name, err)
	}
	l.tb.Cleanup(func() { n.handle.Close() })
	if n.links, err = netlink.NewHandleAt(n.handle); err != nil {
		l.tb.Fatalf("netlink in namespace %s: %v", n.Name, err)
	}
	l.tb.Cleanup(n.links.Close)
	return n
}

// Path is the file that stands for the namespace.
func (n *Namespace) Path() string { return filepath.Join(runDir, n.Name) }

// Do runs fn inside the namespace: sockets that fn makes and programs that it
// starts belong there. It holds for the calling goroutine alone, not for those
// that fn starts.
func (n *Namespace) Do(fn func()) {
	n.lab.tb.Helper()
	runtime.LockOSThread()
	outside, err := netns.Get()
	if err != nil {
		n.lab.tb.Fatalf("own namespace: %v", err)
	}
	defer func() {
		// A thread that cannot return stays locked, and so ends with its goroutine.
		if netns.Set(outside) == nil {
			runtime.UnlockOSThread()
		}
		outside.Close()
	}()
	if err := netns.Set(n.handle); err != nil {
		n.lab.tb.Fatalf("entering namespace %s: %v", n.Name, err)
	}
	fn()
}

// Sysctl sets a variable such as net.ipv4.ip_forward. A device whose name has a
// dot in it cannot be named this way.
func (n *Namespace) Sysctl(name, value string) {
	n.lab.tb.Helper()
	file := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	n.Do(func() {
		if err := os.WriteFile(file, []byte(value), 0); err != nil {
			n.lab.tb.Fatalf("sysctl %s=%s in %s: %v", name, value, n.Name, err)
		}
	})
}

func makeNamespace(name string) error {
	failed := make(chan error)
	go func() {
		// Never unlocked: the thread, which is in the new namespace, ends here.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			failed <- fmt.Errorf("unshare: %w", err)
			return
		}
		failed <- nameNamespace(name, "/proc/thread-self/ns/net")
	}()
	return <-failed
}

// nameNamespace makes the name stand for the namespace that a file of /proc is.
func nameNamespace(name, namespace string) error {
	if err := shareRunDir(); err != nil {
		return err
	}
	file := filepath.Join(runDir, name)
	mountPoint, err := os.OpenFile(file, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return err
	}
	mountPoint.Close()
	if err := unix.Mount(namespace, file, "none", unix.MS_BIND, ""); err != nil {
		os.Remove(file)
		return err
	}
	return nil
}

// shareRunDir prepares the directory as `ip netns add` does: a shared mount, so
// that names made in one mount namespace appear in all. `ip netns` takes the
// same lock.
func shareRunDir() error {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(runDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", runDir, err)
	}
	err = unix.Mount("", runDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if err != unix.EINVAL {
		return err
	}
	// It is no mount point yet.
	if err := unix.Mount(runDir, runDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", runDir, "none", unix.MS_SHARED|unix.MS_REC, "")
}

func removeNamespace(name string) error {
	file := filepath.Join(runDir, name)
	if err := unix.Unmount(file, unix.MNT_DETACH); err != nil && err != unix.EINVAL {
		return fmt.Errorf("unmount: %w", err)
	}
	return os.Remove(file)
}
