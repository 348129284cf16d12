// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// testRun is a program with the packet that the kernel shall run it on.
type testRun struct {
	program *ebpf.Program
	frame   []byte
	// device is the index of the one that the packet is at, in the caller's
	// namespace.
	device int
}

// testRunAttributes are those of BPF_PROG_TEST_RUN in the kernel's union
// bpf_attr.
type testRunAttributes struct {
	program, verdict  uint32
	sizeIn, sizeOut   uint32
	dataIn, dataOut   uint64
	repeat, duration  uint32
	contextIn, ctxOut uint32
	context, _        uint64
	flags, cpu, batch uint32
	_                 uint32
}

// repeated has the kernel run the program so many times, each time on the
// packet as the last one has left it, and returns the processor time of all and
// what the program returned last. The kernel's own figure is a whole number of
// nanoseconds a run, which for a program that takes thirty is not enough. The
// caller is in the namespace and locked to its thread.
func (r testRun) repeated(times int) (time.Duration, uint32, error) {
	context := r.context()
	attributes := testRunAttributes{
		program:   uint32(r.program.FD()),
		sizeIn:    uint32(len(r.frame)),
		dataIn:    uint64(uintptr(unsafe.Pointer(unsafe.SliceData(r.frame)))),
		repeat:    uint32(times),
		contextIn: uint32(len(context)),
		context:   uint64(uintptr(unsafe.Pointer(unsafe.SliceData(context)))),
	}
	before, err := threadTime()
	if err != nil {
		return 0, 0, err
	}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
	after, err := threadTime()
	if err != nil {
		return 0, 0, err
	}
	runtime.KeepAlive(r.frame)
	runtime.KeepAlive(context)
	if errno != 0 {
		return 0, 0, os.NewSyscallError("bpf(BPF_PROG_TEST_RUN)", errno)
	}
	return after - before, attributes.verdict, nil
}

// unsignalled runs fn while no signal reaches the calling thread: one of the Go
// runtime's would end a test run before its time.
func unsignalled(fn func() error) error {
	var all, before unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &all, &before); err != nil {
		return os.NewSyscallError("rt_sigprocmask", err)
	}
	return errors.Join(fn(), os.NewSyscallError("rt_sigprocmask", unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)))
}

// context is what the kernel is told about the packet beside its bytes.
func (r testRun) context() []byte {
	switch r.program.Type() {
	case ebpf.XDP:
		const dataEnd, ingressDevice, size = 4, 12, 24 // of struct xdp_md
		c := make([]byte, size)
		binary.NativeEndian.PutUint32(c[dataEnd:], uint32(len(r.frame)))
		binary.NativeEndian.PutUint32(c[ingressDevice:], uint32(r.device))
		return c
	default:
		const device, size = 40, 192 // of struct __sk_buff
		c := make([]byte, size)
		binary.NativeEndian.PutUint32(c[device:], uint32(r.device))
		return c
	}
}

// threadTime is the processor time of the calling thread.
func threadTime() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano()), os.NewSyscallError("clock_gettime", err)
}

// timed runs a program in a namespace, undisturbed, and returns what one run
// takes in nanoseconds, and the last verdict.
func timed(tb lab.TB, ns *lab.Namespace, p placement, r testRun, times int) (nanoseconds float64, verdict uint32) {
	var total time.Duration
	var err error
	ns.Do(func() {
		err = held(p.server, func() error {
			return unsignalled(func() (err error) {
				total, verdict, err = r.repeated(times)
				return err
			})
		})
	})
	if err != nil {
		tb.Fatalf("%v: %v", r.program, err)
	}
	return float64(total.Nanoseconds()) / float64(times), verdict
}
