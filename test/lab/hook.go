// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// HaveTCX says whether the kernel is one that has tcx links, from Linux 6.6 on.
func HaveTCX() bool {
	_, err := link.QueryPrograms(link.QueryOptions{Target: 1, Attach: ebpf.AttachTCXIngress})
	return !errors.Is(err, ebpf.ErrNotSupported) && !errors.Is(err, unix.EINVAL)
}

// PinOf is the path of a pin of the only dataplane of this instance.
func (x *XFWD) PinOf(name string) string {
	x.at.lab.tb.Helper()
	pins, err := filepath.Glob(filepath.Join(x.Root, "net-*", name))
	if err != nil || len(pins) != 1 {
		x.at.lab.tb.Fatalf("%s is pinned as %q: %v", name, pins, err)
	}
	return pins[0]
}

// TearOff takes our program from one direction of a device, as somebody does who has
// `bpftool link detach` or `tc filter del`.
func (x *XFWD) TearOff(device, direction string) {
	x.at.lab.tb.Helper()
	ifindex := x.at.Index(device)
	if HaveTCX() {
		x.DetachLink(fmt.Sprintf("%d-%s", ifindex, direction))
		return
	}
	parent := map[string]uint32{"ingress": netlink.HANDLE_MIN_INGRESS, "egress": netlink.HANDLE_MIN_EGRESS}[direction]
	filters, err := x.at.Links().FilterList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}, parent)
	if err != nil || len(filters) != 1 {
		x.at.lab.tb.Fatalf("%s of %s has %d filters, want one: %v", direction, device, len(filters), err)
	}
	if err := x.at.Links().FilterDel(filters[0]); err != nil {
		x.at.lab.tb.Fatalf("%v", err)
	}
}

// DetachLink detaches what is pinned as a link of that name.
func (x *XFWD) DetachLink(name string) {
	x.at.lab.tb.Helper()
	l, err := link.LoadPinnedLink(x.PinOf("links/"+name), nil)
	if err != nil {
		x.at.lab.tb.Fatalf("%v", err)
	}
	defer l.Close()
	if err := l.Detach(); err != nil {
		x.at.lab.tb.Fatalf("%v", err)
	}
}
