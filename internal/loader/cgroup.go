// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"os"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
)

// socketPlace is a place in the life of a socket, with our program for it.
type socketPlace struct {
	name    string
	attach  ebpf.AttachType
	program string
}

var socketPlaces = []socketPlace{
	{"connect4", ebpf.AttachCGroupInet4Connect, bpf.XfwdProgXfwdConnect4},
	{"connect6", ebpf.AttachCGroupInet6Connect, bpf.XfwdProgXfwdConnect6},
	{"sendmsg4", ebpf.AttachCGroupUDP4Sendmsg, bpf.XfwdProgXfwdSendmsg4},
	{"sendmsg6", ebpf.AttachCGroupUDP6Sendmsg, bpf.XfwdProgXfwdSendmsg6},
	{"recvmsg4", ebpf.AttachCGroupUDP4Recvmsg, bpf.XfwdProgXfwdRecvmsg4},
	{"recvmsg6", ebpf.AttachCGroupUDP6Recvmsg, bpf.XfwdProgXfwdRecvmsg6},
	{"getpeername4", ebpf.AttachCgroupInet4GetPeername, bpf.XfwdProgXfwdGetpeername4},
	{"getpeername6", ebpf.AttachCgroupInet6GetPeername, bpf.XfwdProgXfwdGetpeername6},
}

const (
	whySockets            = "own connections never arrive on a device"
	whyChildCgroup        = "the hook is attached to a child of the root cgroup and serves only the processes there; `xfwd apply` or any `xfwd add`, run outside of a cgroup namespace, moves it"
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
	for _, s := range socketPlaces {
		hook := Hook{Name: s.name, Mode: ModeCgroup, Why: whySockets}
		if err := d.attachSocketHook(s, root); err != nil {
			hook.Mode, hook.Why, hook.Missing = ModeNone, err.Error(), true
		}
		hooks = append(hooks, hook)
	}
	return hooks
}

func (d *Dataplane) attachSocketHook(s socketPlace, openRoot func() (int, error)) error {
	program, err := d.program(s.program)
	if err != nil {
		return err
	}
	info, found, err := d.pinnedInfo(s.name)
	switch {
	case err != nil:
		return err
	case found && cgroupOf(info) == rootCgroup && d.runs(info, program):
		return nil
	case found && cgroupOf(info) == rootCgroup:
		return explain("update the hook "+s.name, d.updatePinned(s.name, program))
	}
	root, err := openRoot()
	if err != nil {
		return err
	}
	l, err := link.AttachCgroup(link.CgroupOptions{
		Path:    fmt.Sprintf("/proc/self/fd/%d", root),
		Attach:  s.attach,
		Program: program,
	})
	if err != nil {
		return explain("attach the hook "+s.name+" to the root cgroup", err)
	}
	if found {
		// A link that somebody has detached cannot be attached again, and one at a child
		// of the root cgroup cannot move. Without its pin it ends.
		if err := os.Remove(d.linkPath(s.name)); err != nil {
			l.Close()
			return explain("unpin the link "+s.name, err)
		}
	}
	return d.pinNew(l, s.name)
}

// cgroupPlace is where a link is attached.
type cgroupPlace int

const (
	noCgroup cgroupPlace = iota
	childCgroup
	rootCgroup
)

// cgroupOf says where a link is attached.
func cgroupOf(info linkInfo) cgroupPlace {
	switch id := uint64(info.more)<<32 | uint64(info.target); {
	case id == 0:
		return noCgroup
	case isRootCgroupID(id):
		return rootCgroup
	}
	return childCgroup
}

func (d *Dataplane) socketHooks() []Hook {
	var hooks []Hook
	for _, s := range socketPlaces {
		hook := Hook{Name: s.name, Mode: ModeCgroup, Why: whySockets}
		place := noCgroup
		info, found, err := d.pinnedInfo(s.name)
		if found {
			place = cgroupOf(info)
		}
		switch {
		case err != nil:
			hook.Mode, hook.Why, hook.Missing = ModeNone, err.Error(), true
		case place == noCgroup:
			hook.Mode, hook.Why, hook.Missing = ModeNone, whySocketsNotAttached, true
		case place == childCgroup:
			hook.Mode, hook.Why, hook.Missing = ModeNone, whyChildCgroup, true
		}
		hooks = append(hooks, hook)
	}
	return hooks
}
