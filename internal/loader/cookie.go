// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// readCookie learns the kernel's number of the current network namespace: from a
// socket, or before Linux 5.14 as a program sees it.
func readCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	cookie, err := getsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if errors.Is(err, unix.ENOPROTOOPT) {
		return cookieByProgram(fd)
	}
	return cookie, err
}

func getsockoptUint64(fd, level, option int) (uint64, error) {
	var value uint64
	size := uint32(unsafe.Sizeof(value))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, errno
	}
	return value, nil
}

// cookieByProgram attaches a program to connect(2) which notes the cookie of the
// namespace for this one socket, and has the UDP socket connect, which sends
// nothing.
func cookieByProgram(socket int) (uint64, error) {
	if err := liftMemoryLimit(); err != nil {
		return 0, err
	}
	socketCookie, err := getsockoptUint64(socket, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		return 0, err
	}
	cookies, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return 0, explain("learn the network namespace's cookie", err)
	}
	defer cookies.Close()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.CGroupSockAddr,
		AttachType:   ebpf.AttachCGroupInet4Connect,
		License:      "Dual BSD/GPL",
		Instructions: cookieInstructions(cookies.FD(), socketCookie),
	})
	if err != nil {
		return 0, explain("learn the network namespace's cookie", err)
	}
	defer program.Close()
	root, err := openRootCgroup()
	if err != nil {
		// The root of our cgroup namespace is usually above this process, too.
		root, err = mountCgroup()
	}
	if err != nil {
		return 0, err
	}
	defer unix.Close(root)
	hook, err := link.AttachCgroup(link.CgroupOptions{
		Path:    fmt.Sprintf("/proc/self/fd/%d", root),
		Attach:  ebpf.AttachCGroupInet4Connect,
		Program: program,
	})
	if err != nil {
		return 0, explain("learn the network namespace's cookie", err)
	}
	defer hook.Close()
	// The discard port; any does, and whether it can be reached does not matter.
	_ = unix.Connect(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 9})
	var cookie uint64
	err = cookies.Lookup(uint32(0), &cookie)
	if err == nil && cookie == 0 {
		err = unsupportedf("%s", whyCgroupNamespace)
	}
	return cookie, err
}

// cookieInstructions store the cookie of the namespace at key 0 of the map if the
// socket is the given one, and let every connect(2) pass.
func cookieInstructions(mapFD int, socketCookie uint64) asm.Instructions {
	const cookie, key = -8, -12 // on the stack
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.FnGetSocketCookie.Call(),
		asm.LoadImm(asm.R1, int64(socketCookie), asm.DWord),
		asm.JNE.Reg(asm.R0, asm.R1, "pass"),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.FnGetNetnsCookie.Call(),
		asm.StoreMem(asm.RFP, cookie, asm.R0, asm.DWord),
		asm.StoreImm(asm.RFP, key, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, mapFD),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, key),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, cookie),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnMapUpdateElem.Call(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("pass"),
		asm.Return(),
	}
}
