// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"

	"github.com/xfwd/xfwd/bpf"
)

// firstDrop is REASON_FIRST_DROP of abi.h.
const firstDrop = bpf.XfwdReasonREASON_LOOPBACK

// reasonCount is how many reasons the maps have room for.
const reasonCount = bpf.XfwdReasonREASON_COUNT

// reasonNames are what users and dashboards see; they never change. Most numbers have none.
var reasonNames = [reasonCount]string{
	bpf.XfwdReasonREASON_NOT_IP:           "not-ip",
	bpf.XfwdReasonREASON_MALFORMED:        "malformed",
	bpf.XfwdReasonREASON_VLAN:             "vlan",
	bpf.XfwdReasonREASON_NO_FRONTEND:      "no-frontend",
	bpf.XfwdReasonREASON_NOT_THIS_HOST:    "not-this-host",
	bpf.XfwdReasonREASON_NO_FLOW:          "no-flow",
	bpf.XfwdReasonREASON_DIRECT:           "direct",
	bpf.XfwdReasonREASON_FRAGMENT_EARLY:   "fragment-early",
	bpf.XfwdReasonREASON_ICMP_TRANSLATED:  "icmp-translated",
	bpf.XfwdReasonREASON_ICMP_UNRELATED:   "icmp-unrelated",
	bpf.XfwdReasonREASON_NO_LOCAL_ADDRESS: "no-local-address",
	bpf.XfwdReasonREASON_MARTIAN:          "martian",
	bpf.XfwdReasonREASON_LEFT_TO_TC:       "left-to-tc",
	bpf.XfwdReasonREASON_LOOPBACK:         "loopback",
	bpf.XfwdReasonREASON_NO_BACKEND:       "no-backend",
	bpf.XfwdReasonREASON_NO_ROUTE:         "no-route",
	bpf.XfwdReasonREASON_NO_NEIGHBOUR:     "no-neighbour",
	bpf.XfwdReasonREASON_FORWARDING_OFF:   "forwarding-off",
	bpf.XfwdReasonREASON_TOO_BIG:          "too-big",
	bpf.XfwdReasonREASON_TIME_EXCEEDED:    "time-exceeded",
	bpf.XfwdReasonREASON_NO_SOURCE_PORT:   "no-source-port",
	bpf.XfwdReasonREASON_FLOW_INSERT:      "flow-insert",
	bpf.XfwdReasonREASON_REWRITE:          "rewrite",
	bpf.XfwdReasonREASON_UNREADABLE:       "unreadable",
	bpf.XfwdReasonREASON_SPOOFED:          "spoofed",
	bpf.XfwdReasonREASON_SOURCE_ROUTED:    "source-routed",
	bpf.XfwdReasonREASON_WRONG_DEVICE:     "wrong-device",
	bpf.XfwdReasonREASON_IMPOSTOR:         "impostor",
}

// reasonName also names reasons of programs newer than this package.
func reasonName(reason uint32) string {
	if knownReason(reason) {
		return reasonNames[reason]
	}
	return fmt.Sprintf("reason-%d", reason)
}

func knownReason(reason uint32) bool {
	return reason < uint32(reasonCount) && reasonNames[reason] != ""
}
