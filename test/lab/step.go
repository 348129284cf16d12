// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// KillAtStep runs a command of xfwd and kills it with SIGKILL right before its
// step-th system call, counted from 1, that can change something outside of the
// process. It returns that call, or nothing when the command has ended before.
func (x *XFWD) KillAtStep(step int, args ...string) (killedBefore string) {
	x.at.lab.tb.Helper()
	command := x.Command(args...)
	type result struct {
		killedBefore string
		err          error
	}
	done := make(chan result)
	go func() {
		// One thread is the tracer. It ends with the goroutine, so that nothing of
		// the tracing stays with a thread that others use.
		runtime.LockOSThread()
		killedBefore, err := traceTo(command, step)
		done <- result{killedBefore, err}
	}()
	r := <-done
	if r.err != nil {
		x.at.lab.tb.Fatalf("%s: step %d: %v", command, step, r.err)
	}
	return r.killedBefore
}

// traceTo starts a program and runs it up to a step.
func traceTo(command *exec.Cmd, step int) (killedBefore string, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer null.Close()
	// Not exec.Cmd: it would wait for the process, too.
	pid, err := syscall.ForkExec(command.Path, command.Args, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd()},
		Sys:   &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
	})
	if err != nil {
		return "", err
	}
	defer func() {
		unix.Kill(pid, unix.SIGKILL)
		for {
			// Its threads are to be waited for, too, before it is gone.
			if _, _, err := waitGroup(pid); err != nil {
				return
			}
		}
	}()
	if _, _, err := waitGroup(pid); err != nil {
		return "", err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(pid, options); err != nil {
		return "", fmt.Errorf("trace: %w", err)
	}
	if err := unix.PtraceSyscall(pid, 0); err != nil {
		return "", fmt.Errorf("trace: %w", err)
	}
	known := map[int]bool{pid: true}
	for {
		status, thread, err := waitGroup(pid)
		if err != nil {
			return "", err
		}
		signal := 0
		switch {
		case thread == pid && (status.Exited() || status.Signaled()):
			return "", nil
		case !status.Stopped():
			continue // a thread has ended
		case status.StopSignal() == unix.SIGTRAP|0x80:
			if call := changingCall(thread); call != "" {
				if step--; step == 0 {
					return call, nil
				}
			}
		case status.StopSignal() == unix.SIGTRAP && status.TrapCause() > 0:
			// A new thread; its own stop follows.
		case status.StopSignal() == unix.SIGSTOP && !known[thread]:
		default:
			signal = int(status.StopSignal())
		}
		known[thread] = true
		if err := unix.PtraceSyscall(thread, signal); err != nil && !errors.Is(err, unix.ESRCH) {
			return "", fmt.Errorf("trace: %w", err)
		}
	}
}

// waitGroup waits for a state of any thread of a process group that the calling
// thread traces. The thread may have other children, for which others wait.
func waitGroup(group int) (status unix.WaitStatus, thread int, err error) {
	for {
		thread, err = unix.Wait4(-group, &status, unix.WALL|unix.WNOTHREAD, nil)
		if err != unix.EINTR {
			return status, thread, err
		}
	}
}

// syscallInfo is struct ptrace_syscall_info of <linux/ptrace.h> at the entry of
// a system call.
type syscallInfo struct {
	op        uint8
	_         [3]uint8
	arch      uint32
	ip, sp    uint64
	number    uint64
	arguments [6]uint64
}

const ptraceSyscallInfoEntry = 1

// changingCall names the system call that a stopped thread is about to make, if
// it can change something that outlives the process.
func changingCall(thread int) string {
	var info syscallInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(thread),
		unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 || info.op != ptraceSyscallInfoEntry {
		return ""
	}
	switch info.number {
	case unix.SYS_BPF:
		return bpfCalls[info.arguments[0]]
	case unix.SYS_SENDTO:
		if !asksNetlink(thread, info.arguments[1]) {
			return "sendto"
		}
	case unix.SYS_MKDIRAT:
		return "mkdirat"
	case unix.SYS_UNLINKAT:
		return "unlinkat"
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		return "rename"
	case unix.SYS_MOUNT:
		return "mount"
	case unix.SYS_FLOCK:
		return "flock"
	}
	return ""
}

// asksNetlink says whether the message that a stopped thread is about to send by netlink,
// at an address of its memory, is a question, which changes nothing: one for devices,
// addresses, routes, neighbours or rules, whose type is the third of each four; one for
// sockets; or one for netfilter, which xfwd only asks.
func asksNetlink(thread int, message uint64) bool {
	const get, sockets, netfilter = 2, 20, 256
	var kind [2]byte
	local := []unix.Iovec{{Base: &kind[0], Len: uint64(len(kind))}}
	remote := []unix.RemoteIovec{{Base: uintptr(message) + 4, Len: len(kind)}}
	if n, err := unix.ProcessVMReadv(thread, local, remote, 0); err != nil || n != len(kind) {
		return false
	}
	number := binary.NativeEndian.Uint16(kind[:])
	return number >= netfilter || number == sockets || number >= unix.RTM_BASE && number%4 == get
}

// bpfCalls are the commands of bpf(2), by enum bpf_cmd, that change or remove
// something, or make something that stays. Maps and programs do not, until they
// are pinned or attached: they go with the process.
var bpfCalls = map[uint64]string{
	unix.BPF_MAP_UPDATE_ELEM:  "bpf map update",
	unix.BPF_MAP_DELETE_ELEM:  "bpf map delete",
	unix.BPF_MAP_UPDATE_BATCH: "bpf map update batch",
	unix.BPF_MAP_DELETE_BATCH: "bpf map delete batch",
	unix.BPF_PROG_ATTACH:      "bpf program attach",
	unix.BPF_PROG_DETACH:      "bpf program detach",
	unix.BPF_OBJ_PIN:          "bpf object pin",
	unix.BPF_LINK_CREATE:      "bpf link create",
	unix.BPF_LINK_UPDATE:      "bpf link update",
	unix.BPF_LINK_DETACH:      "bpf link detach",
}
