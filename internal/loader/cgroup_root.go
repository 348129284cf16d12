// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// initialCgroupNamespace is the inode of the cgroup namespace that the kernel has
// started with (PROC_CGROUP_INIT_INO of its include/linux/proc_ns.h).
const initialCgroupNamespace = 0xEFFFFFFB

// whyCgroupNamespace says why a process in a cgroup namespace cannot attach. It sees a
// child of the root cgroup as the root, and hooks there serve the processes of that
// child only.
const whyCgroupNamespace = "this process is in a cgroup namespace and cannot reach the root cgroup; run xfwd outside of it, or with the PID namespace of the host"

// openRootCgroup opens the root of the unified hierarchy, wherever that is
// mounted, if at all: hosts with the old one, and `ip netns exec`, hide it. It
// has its own mount, which ends with the descriptor.
func openRootCgroup() (int, error) {
	root, err := mountCgroup()
	if err != nil {
		return -1, err
	}
	if isRootCgroup(root) {
		return root, nil
	}
	unix.Close(root)
	root, err = openInitialRootCgroup()
	if err == nil && !isRootCgroup(root) {
		unix.Close(root)
		err = errors.New("it is a child of the root cgroup")
	}
	if err != nil {
		return -1, unsupportedf("%s", whyCgroupNamespace)
	}
	return root, nil
}

// openInitialRootCgroup opens the root cgroup from a thread that enters the initial
// cgroup namespace. The thread never comes back: it stays locked and so ends with its
// goroutine.
func openInitialRootCgroup() (root int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = enterInitialCgroupNamespace(); err == nil {
			root, err = mountCgroup()
		}
	}()
	<-done
	return root, err
}

// enterInitialCgroupNamespace moves the current thread to the namespace of one of our
// ancestors, the last of which is the first process. In a PID namespace of its own that
// is not the host's, and is in another cgroup namespace.
func enterInitialCgroupNamespace() error {
	for _, pid := range ancestors() {
		file, err := os.Open(fmt.Sprintf("/proc/%d/ns/cgroup", pid))
		if err != nil {
			continue
		}
		defer file.Close()
		var stat unix.Stat_t
		if err := unix.Fstat(int(file.Fd()), &stat); err != nil || stat.Ino != initialCgroupNamespace {
			continue
		}
		return unix.Setns(int(file.Fd()), unix.CLONE_NEWCGROUP)
	}
	return errors.New("no ancestor that we may look at is in the initial cgroup namespace")
}

// mountCgroup mounts the unified hierarchy, as the current thread's cgroup namespace
// has it, and returns its root.
func mountCgroup() (int, error) {
	fs, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, explain("open the root cgroup", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, explain("open the root cgroup", err)
	}
	root, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return -1, explain("open the root cgroup", err)
	}
	return root, nil
}

// isRootCgroup says whether a directory of the unified hierarchy is its root. The
// number of the inode is that of the cgroup.
func isRootCgroup(directory int) bool {
	var stat unix.Stat_t
	return unix.Fstat(directory, &stat) == nil && isRootCgroupID(stat.Ino)
}

// isRootCgroupID says whether a number is that of the root cgroup. The kernel numbers
// the cgroups from 1 on, and no other one is 1 in its lower half: a 32-bit kernel has a
// generation in the upper one.
func isRootCgroupID(id uint64) bool { return uint32(id) == 1 }
