// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"

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

const whySockets = "own connections never arrive on a device"

// attachSockets attaches the socket hooks to the root cgroup.
func (d *Dataplane) attachSockets() []Hook {
	var hooks []Hook
	root, err := openRootCgroup()
	if err == nil {
		defer unix.Close(root)
	}
	for _, s := range d.socketPrograms() {
		hook := Hook{Name: s.name, Mode: ModeCgroup, Why: whySockets}
		attachErr := err
		if attachErr == nil {
			attachErr = d.attachSocketHook(s, root)
		}
		if attachErr != nil {
			hook.Mode, hook.Why, hook.Missing = ModeNone, attachErr.Error(), true
		}
		hooks = append(hooks, hook)
	}
	return hooks
}

func (d *Dataplane) attachSocketHook(s socketHook, root int) error {
	old, err := d.pinnedLink(s.name)
	if err != nil {
		return err
	}
	if old != nil {
		defer old.Close()
		return explain("update the hook "+s.name, updateLink(old, s.program))
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

func (d *Dataplane) socketHooks() []Hook {
	var hooks []Hook
	for _, s := range d.socketPrograms() {
		hook := Hook{Name: s.name, Mode: ModeCgroup, Why: whySockets}
		l, err := d.pinnedLink(s.name)
		switch {
		case err != nil:
			hook.Mode, hook.Why, hook.Missing = ModeNone, err.Error(), true
		case l == nil:
			hook.Mode, hook.Why, hook.Missing = ModeNone, "own connections are not forwarded; the next `xfwd add` tries again", true
		default:
			l.Close()
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
