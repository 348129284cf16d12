// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// DefaultRoot is where pins live unless told otherwise.
const DefaultRoot = "/sys/fs/bpf/xfwd"

// bpffs is where the BPF file system is mounted.
const bpffs = "/sys/fs/bpf"

// findRoot returns the path under which the root can be reached from here. It
// is another one under `ip netns exec`, which mounts a fresh /sys over the one
// with the BPF file system: then the mounts of the process that called it lead
// there. mounted is false if there is no BPF file system.
func findRoot(root string) (path string, mounted bool) {
	if onBPFFS(root) {
		return root, true
	}
	for _, pid := range ancestors() {
		if there := fmt.Sprintf("/proc/%d/root%s", pid, root); onBPFFS(there) {
			return there, true
		}
	}
	return root, false
}

// ancestors returns our parent, its parent and so on up to the first process.
func ancestors() []int {
	var pids []int
	for pid := os.Getppid(); pid > 0; {
		pids = append(pids, pid)
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			break
		}
		// pid (command) state parent; the command may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 {
			break
		}
		if pid, err = strconv.Atoi(fields[1]); err != nil {
			break
		}
	}
	return pids
}

// onBPFFS says whether a path, or that part of it which exists, is on a BPF file
// system.
func onBPFFS(path string) bool {
	for {
		var stat unix.Statfs_t
		err := unix.Statfs(path, &stat)
		if err == nil {
			return stat.Type == unix.BPF_FS_MAGIC
		}
		if !errors.Is(err, fs.ErrNotExist) || path == "/" {
			return false
		}
		path = filepath.Dir(path)
	}
}

// ensureRoot returns the path of the root after it has mounted the BPF file
// system, if need be, and made the directory.
func ensureRoot(root string) (string, error) {
	path, mounted := findRoot(root)
	if !mounted {
		if root != bpffs && !strings.HasPrefix(root, bpffs+"/") {
			return "", unsupportedf("%s is not on a BPF file system: mount one there with `mount -t bpf bpf DIR`, or leave --root out", root)
		}
		if err := mountBPFFS(); err != nil {
			return "", explain("mount the BPF file system at "+bpffs, err)
		}
		if path, mounted = findRoot(root); !mounted {
			return "", unsupportedf("there is no BPF file system at %s and it cannot be mounted: mount -t bpf bpf %s", bpffs, bpffs)
		}
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", explain("make the pin directory "+root, err)
	}
	return path, nil
}

// mountBPFFS mounts the BPF file system where the first process sees it, or as
// near to it as we may, so that the next command finds it, wherever it is run.
func mountBPFFS() error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: a thread that has moved between mount namespaces ends.
		runtime.LockOSThread()
		for _, pid := range slices.Backward(ancestors()) {
			if enterMounts(pid) == nil {
				break
			}
		}
		done <- unix.Mount("bpf", bpffs, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700")
	}()
	return <-done
}

// enterMounts moves the current thread to the mount namespace of a process.
func enterMounts(pid int) error {
	mounts, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return err
	}
	defer mounts.Close()
	// A thread that shares its working directory with others cannot move.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	return unix.Setns(int(mounts.Fd()), unix.CLONE_NEWNS)
}
