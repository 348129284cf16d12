// SPDX-License-Identifier: Apache-2.0

package packet

// verdict is what a program returns.
type verdict uint32

// From enum tcx_action_base and enum xdp_action of <linux/bpf.h>.
const (
	next       verdict = 0xffffffff // tc, -1: other programs may look at the packet
	drop       verdict = 2          // tc
	redirected verdict = 7          // tc: it is sent by a device

	pass          verdict = 2 // XDP: tc may look at the packet
	bounce        verdict = 3 // XDP_TX: it is sent by the device that it came by
	xdpRedirected verdict = 4 // it is sent by another device
)

// of names a verdict of a hook.
func (v verdict) of(h hook) string {
	names := map[verdict]string{next: "next", drop: "drop", redirected: "redirect"}
	if h == early {
		names = map[verdict]string{pass: "pass", bounce: "tx", xdpRedirected: "redirect"}
	}
	if name, known := names[v]; known {
		return name
	}
	return "unknown"
}
