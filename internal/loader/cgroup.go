// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"os"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// socketHook is a place in the life of a socket.
type socketHook struct {
	name    string
	attach  ebpf.AttachType
	program *ebpf.Program
}

func (d *Dataplane) socketPrograms() []socketHook {
	p := &d.programs
	return []socketHook{
		{"connect4", ebpf.AttachCGroupInet4Connect, p.XfwdConnect4},
		{"connect6", ebpf.AttachCGroupInet6Connect, p.XfwdConnect6},
		{"sendmsg4", ebpf.AttachCGroupUDP4Sendmsg, p.XfwdSendmsg4},
		{"sendmsg6", ebpf.AttachCGroupUDP6Sendmsg, p.XfwdSendmsg6},
		{"recvmsg4", ebpf.AttachCGroupUDP4Recvmsg, p.XfwdRecvmsg4},
		{"recvmsg6", ebpf.AttachCGroupUDP6Recvmsg, p.XfwdRecvmsg6},
		{"getpeername4", ebpf.AttachCgroupInet4GetPeername, p.XfwdGetpeername4},
		{"getpeername6", ebpf.AttachCgroupInet6GetPeername, p.XfwdGetpeername6},
	}
}

const (
	whySockets            = "own connections never arrive on a device"
	whySocketsNotAttached = "the hook could not be attached, or lost its program, at or since the last change; `xfwd apply` or any `xfwd add` tries again"
)

// attachSockets attaches the socket hooks to the root cgroup. To open that takes a
// privilege that nobody else here needs, so it is opened only for a hook that is missing.
func (d *Dataplane) attachSockets() []Hook {
	var hooks []Hook
	opened := -1
	root := sync.OnceValues(func() (int, error) {
		var err error
		opened, err = openRootCgroup()
		return opened, err
	})
	defer func() {
		if opened >= 0 {
			unix.Close(opened)
		}
	}()
	for _, s := range d.socketPrograms() {
		hook := Hook{Name: s.name, Mode: ModeCgroup, Why: whySockets}
		if err := d.attachSocketHook(s, root); err != nil {
			hook.Mode, hook.Why, hook.Missing = ModeNone, err.Error(), true
		}
		hooks = append(hooks, hook)
	}
	return hooks
}

func (d *Dataplane) attachSocketHook(s socketHook, openRoot func() (int, error)) error {
	info, found, err := d.pinnedInfo(s.name)
	switch {
	case err != nil:
		return err
	case found && onCgroup(info) && d.runs(info, s.program):
		return nil
	case found && onCgroup(info):
		return explain("update the hook "+s.name, d.updatePinned(s.name, s.program))
	case found:
		// Somebody has detached it, and a link cannot be attached again.
		if err := os.Remove(d.linkPath(s.name)); err != nil {
			return explain("unpin the link "+s.name, err)
		}
	}
	root, err := openRoot()
	if err != nil {
		return err
	}
	l, err := link.AttachCgroup(link.CgroupOptions{
		Path:    fmt.Sprintf("/proc/self/fd/%d", root),
		Attach:  s.attach,
		Program: s.program,
	})
	if err != nil {
		return explain("attach the hook "+s.name+" to the root cgroup", err)
	}
	return d.pinNew(l, s.name)
}

// onCgroup says whether a link is still attached to a cgroup.
func onCgroup(info linkInfo) bool { return info.target != 0 || info.more != 0 }

func (d *Dataplane) socketHooks() []Hook {
	var hooks []Hook
	for _, s := range d.socketPrograms() {
		hook := Hook{Name: s.name, Mode: ModeCgroup, Why: whySockets}
		info, found, err := d.pinnedInfo(s.name)
		switch {
		case err != nil:
			hook.Mode, hook.Why, hook.Missing = ModeNone, err.Error(), true
		case !found || !onCgroup(info):
			hook.Mode, hook.Why, hook.Missing = ModeNone, whySocketsNotAttached, true
		}
		hooks = append(hooks, hook)
	}
	return hooks
}

// openRootCgroup opens the root of the unified hierarchy, wherever that is
// mounted, if at all: hosts with the old one, and `ip netns exec`, hide it. It
// has its own mount, which ends with the descriptor.
func openRootCgroup() (int, error) {
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
