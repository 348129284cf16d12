// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/test/lab"
)

// isolate keeps all packets but the test's from the programs: those that the
// kernel sends by itself, to find neighbours for one, would be counted too. The
// next change attaches the programs again.
func (w *world) isolate(tb lab.TB) {
	tb.Helper()
	pins, err := filepath.Glob(filepath.Join(w.pins, "links", "*gress"))
	if err != nil {
		tb.Fatalf("%v", err)
	}
	for _, pin := range pins {
		if err := replaceProgram(pin, w.null); err != nil {
			tb.Fatalf("%v", err)
		}
	}
	links, err := w.host.Links().LinkList()
	if err != nil {
		tb.Fatalf("%v", err)
	}
	for _, l := range links { // lo too: the host tells itself of errors
		qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		}}
		// There is none where the kernel has tcx.
		_ = w.host.Links().QdiscDel(qdisc)
	}
}

// replaceProgram has a pinned link run another program.
func replaceProgram(pin string, p *ebpf.Program) error {
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Update(p)
}
