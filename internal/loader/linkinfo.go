// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"io/fs"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// linkInfo is what the kernel says of a link, the beginning of struct bpf_link_info.
// Asking costs three system calls, where the link of the ebpf package takes a dozen: with
// hundreds of devices that is most of what a command does.
type linkInfo struct {
	kind, id, program uint32
	_                 uint32
	// target is the ifindex of a link to tcx or XDP, zero once its device is gone, or the
	// low half of a cgroup's number; more is that number's high half.
	target, more uint32
	_            [40]byte
}

// pinnedInfo asks for a link that is pinned. It is not found if there is no such pin.
func (d *Dataplane) pinnedInfo(name string) (info linkInfo, found bool, err error) {
	fd, err := openPin(d.linkPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return info, false, nil
	}
	if err != nil {
		return info, false, explain("open the pinned link "+name, err)
	}
	defer unix.Close(fd)
	err = objectInfo(fd, unsafe.Pointer(&info), unsafe.Sizeof(info))
	return info, err == nil, explain("ask for the pinned link "+name, err)
}

// openPin opens what is pinned on a BPF file system.
func openPin(path string) (fd int, err error) {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return -1, err
	}
	attribute := struct {
		path   unsafe.Pointer
		fd     uint32
		flags  uint32
		pathFD int32
		_      uint32
	}{path: unsafe.Pointer(name)}
	// The fields that Linux 6.5 has added are zero, so older kernels take them too.
	fd, err = bpfCall(unix.BPF_OBJ_GET, unsafe.Pointer(&attribute), unsafe.Sizeof(attribute))
	return fd, err
}

// objectInfo fills in what the kernel says of a program, a map or a link.
func objectInfo(fd int, info unsafe.Pointer, size uintptr) error {
	attribute := struct {
		fd, size uint32
		info     unsafe.Pointer
	}{uint32(fd), uint32(size), info}
	_, err := bpfCall(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attribute), unsafe.Sizeof(attribute))
	return err
}

func bpfCall(command int, attribute unsafe.Pointer, size uintptr) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attribute), size)
	runtime.KeepAlive(attribute)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// programID is the kernel's number of a program of ours.
func (d *Dataplane) programID(program *ebpf.Program) (uint32, error) {
	if id, known := d.ids[program]; known {
		return id, nil
	}
	// The beginning of struct bpf_prog_info.
	var info struct{ kind, id uint32 }
	if err := objectInfo(program.FD(), unsafe.Pointer(&info), unsafe.Sizeof(info)); err != nil {
		return 0, explain("ask for the number of a program", err)
	}
	if d.ids == nil {
		d.ids = make(map[*ebpf.Program]uint32)
	}
	d.ids[program] = info.id
	return info.id, nil
}

// runs says whether a link runs a program.
func (d *Dataplane) runs(info linkInfo, program *ebpf.Program) bool {
	id, err := d.programID(program)
	return err == nil && id == info.program
}
