// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// A shaper at ingress does not see what is sent on to another machine, which is said, once
// for all forwards; a forward to this host passes it, and there is nothing to say.
func TestIngressShapingIsSaid(t *testing.T) {
	t.Parallel()
	lab.Need(t, "tc", "ip")
	const line = "filters of tc at ingress of eth0 do not see what xfwd sends on to other machines"
	for name, filter := range map[string][]string{
		"an ifb by ingress": {
			"tc qdisc add dev eth0 handle ffff: ingress",
			"tc filter add dev eth0 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev ifb7",
		},
		"an ifb by clsact": {
			"tc qdisc add dev eth0 clsact",
			"tc filter add dev eth0 ingress protocol all u32 match u32 0 0 action mirred egress redirect dev ifb7",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := lab.New(t).Containers(1)
			run(site.Host, "ip link add ifb7 type ifb", "ip link set ifb7 up")
			x := site.Host.XFWD()
			backend := at(site.Servers[0].Addr.V4, 30080).String()
			warned := func(result lab.Result) bool { return strings.Contains(result.Stderr, line) }
			if warned(x.Add("80", backend)) {
				t.Error("add warns of a shaper that is not there")
			}
			run(site.Host, filter...)
			if warned(x.Add("81", "30081")) {
				t.Error("add warns of a shaper though the target is this host")
			}
			if !warned(x.Add("82", backend)) {
				t.Error("add does not warn of the shaper")
			}
			count := 0
			for _, warning := range x.Status().Warnings {
				if strings.Contains(warning, line) {
					count++
				}
			}
			if count != 1 {
				t.Errorf("status warns of the shaper %d times: %q", count, x.Status().Warnings)
			}
			x.Do("del", "80", "82")
			if slices.ContainsFunc(x.Status().Warnings, func(warning string) bool { return strings.Contains(warning, line) }) {
				t.Error("status warns of the shaper though no forward leads to another machine")
			}
		})
	}
}

// run runs commands in a namespace.
func run(ns *lab.Namespace, commands ...string) {
	for _, command := range commands {
		words := strings.Fields(command)
		ns.Run(words[0], words[1:]...)
	}
}
