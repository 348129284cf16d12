// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// qemu is a QEMU of our own. The one of Debian 12, 7.2, crashes guests where it
// has to emulate the processor.
type qemu struct{ dir string }

const (
	qemuSuite   = "bookworm-backports"
	qemuPackage = "qemu-system-x86"
)

// fetchQEMU makes sure that QEMU is in the cache, with every library that it
// needs.
func fetchQEMU(ctx context.Context, c cache) (qemu, error) {
	dir, err := c.get(ctx, "qemu-"+qemuSuite, []string{"bookworm", qemuSuite}, func(a apt) error {
		return a.downloadAll(ctx, qemuSuite, qemuPackage)
	}, nil)
	return qemu{dir}, err
}

// machine is a virtual machine.
type machine struct {
	kernel *kernel
	// initramfs is what it has for a disk.
	initramfs string
	// accelerator is tcg or kvm. A steady clock goes on by a nanosecond for each
	// instruction, and jumps over idle time. Memory is in MiB.
	accelerator     string
	steady          bool
	memory, threads int
	// console is the file that gets what the kernel says.
	console string
}

// Emulating an older processor takes a third less time than emulating all that
// QEMU knows of. RDRAND spares guests the wait for randomness.
var processors = map[string]string{"tcg": "Nehalem,+rdrand", "kvm": "host"}

// kernelArguments: the console is the first serial port; a panic or an oops ends
// the machine; mitigations and checks of clocks cost an emulated processor much
// and say nothing of xfwd, and its stalls are those of the machine outside.
const kernelArguments = "console=ttyS0 quiet panic=-1 oops=panic net.ifnames=0 random.trust_cpu=on " +
	"mitigations=off tsc=reliable no_timer_check nowatchdog rcupdate.rcu_cpu_stall_suppress=1"

// arguments are the kernel's. On a busy machine a kernel that measures the time
// stamp counter by itself may get it wrong by far, and then its clock runs away: hours
// pass in a minute. So we tell it, where its counter is this machine's.
func (m machine) arguments() string {
	if khz := tscKHz(); m.accelerator == "tcg" && !m.steady && khz > 0 {
		return kernelArguments + " tsc_early_khz=" + strconv.Itoa(khz)
	}
	return kernelArguments
}

// tscKHz is measured once.
var tscKHz = sync.OnceValue(measureTSC)

// cards are the network cards of a machine, as QEMU calls them: pairs, each joined by
// a wire, for a machine whose namespaces shall be joined by hardware. The last two
// bytes of a card's address are the numbers of its wire and of its end of that.
var cards = [][2]string{
	{virtio, virtio},
	{virtio, virtio},
	{virtio, "vmxnet3"},
	{virtio, "vmxnet3"},
	// One that puts headers into buffers of their own, as hosts of old have it.
	{virtio, virtio + ",disable-modern=on,any_layout=off"},
}

const virtio = "virtio-net-pci"

// wires are the arguments for that.
var wires = func() []string {
	var args []string
	for wire, ends := range cards {
		for end, model := range ends {
			id := fmt.Sprintf("wire%d-%d", wire, end)
			args = append(args,
				"-netdev", fmt.Sprintf("hubport,id=%s,hubid=%d", id, wire),
				// Nobody boots from it, so it needs no option ROM.
				"-device", fmt.Sprintf("%s,netdev=%s,mac=52:54:00:00:%02x:%02x,romfile=", model, id, wire, end))
		}
	}
	return args
}()

// boot runs a machine until it switches itself off. What the guest writes to its
// second serial port goes to results.
func (q qemu) boot(ctx context.Context, m machine, results io.Writer) error {
	libraries := []string{
		filepath.Join(q.dir, "lib/x86_64-linux-gnu"),
		filepath.Join(q.dir, "usr/lib/x86_64-linux-gnu"),
	}
	args := []string{
		"--library-path", strings.Join(libraries, ":"),
		filepath.Join(q.dir, "usr/bin/qemu-system-x86_64"),
		"-L", filepath.Join(q.dir, "usr/share/qemu"),
		"-L", filepath.Join(q.dir, "usr/share/seabios"),
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-machine", "q35",
		"-accel", m.accelerator,
		"-cpu", processors[m.accelerator],
		"-smp", strconv.Itoa(m.threads),
		"-m", strconv.Itoa(m.memory),
		"-kernel", m.kernel.image,
		"-initrd", m.initramfs,
		"-append", m.arguments(),
		"-serial", "file:" + m.console,
		"-chardev", "stdio,id=results,signal=off",
		"-serial", "chardev:results",
	}
	args = append(args, wires...)
	if m.steady {
		args = append(args, "-icount", "shift=0,sleep=off", "-rtc", "clock=vm")
	}
	command := exec.CommandContext(ctx, filepath.Join(q.dir, "lib64/ld-linux-x86-64.so.2"), args...)
	command.Env = append(os.Environ(), "QEMU_MODULE_DIR="+filepath.Join(q.dir, "usr/lib/x86_64-linux-gnu/qemu"))
	// No machine outlives us.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	command.Stdout, command.Stderr = results, &stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("qemu: %w\n%s", err, &stderr)
	}
	return nil
}
