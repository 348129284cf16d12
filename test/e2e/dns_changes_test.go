// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// dig gets its answers over UDP and TCP from several backends while they come and
// go.
func TestDigThroughChanges(t *testing.T) {
	t.Parallel()
	lab.Need(t, "dig")
	f := newSilentFleet(t, 3)
	for _, pod := range f.pods {
		for _, addr := range pod.Addr.All() {
			startDNS(pod.Namespace, at(addr, fleetPort).String())
		}
	}
	f.publish(t, "53/tcp+udp", f.backends("", 0, 1), "--balance", "random")
	for family, host := range f.HostAddr.All() {
		for network, option := range map[string]string{"udp": "+notcp", "tcp": "+tcp"} {
			within(t, f.Network, network+" "+family, func(t *testing.T) {
				ask := func() {
					t.Helper()
					for range 3 {
						output := f.Client.Run("dig", "@"+host.String(), "-p", "53", "+short", "+tries=1", "+time=3", option, "name.test", "TXT")
						if got := strings.TrimSpace(output); got != `"`+network+`"` {
							t.Errorf("dig %s: %s", option, output)
						}
					}
				}
				for i := range f.pods {
					next := f.backends("", (i+2)%len(f.pods))
					oldest := f.backends("", i)
					f.change(t, "add", "53/tcp+udp", next...)
					ask()
					f.change(t, "drain", "53/tcp+udp", oldest...)
					ask()
					f.change(t, "del", "53/tcp+udp", oldest...)
					ask()
				}
			})
		}
	}
}
