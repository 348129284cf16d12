// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// PassXDP puts an XDP program of somebody else into the driver of a device, which
// lets everything pass. It stays until it is removed or the test ends.
func (n *Namespace) PassXDP(device string) (remove func()) {
	n.lab.tb.Helper()
	// Maps and programs count against it before Linux 5.11.
	if err := rlimit.RemoveMemlock(); err != nil {
		n.lab.tb.Fatalf("%v", err)
	}
	const xdpPass = 2
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "pass", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		n.lab.tb.Fatalf("loading an XDP program: %v", err)
	}
	n.lab.tb.Cleanup(func() { program.Close() })
	var attached link.Link
	n.Do(func() {
		attached, err = link.AttachXDP(link.XDPOptions{
			Program: program, Interface: n.Index(device), Flags: link.XDPDriverMode,
		})
	})
	if err != nil {
		n.lab.tb.Fatalf("attaching an XDP program to %s in %s: %v", device, n.Name, err)
	}
	remove = func() {
		// What is only closed may take its time. The second time there is nothing.
		_ = attached.Detach()
		attached.Close()
	}
	n.lab.tb.Cleanup(remove)
	return remove
}
