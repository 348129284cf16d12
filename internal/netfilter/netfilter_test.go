// SPDX-License-Identifier: Apache-2.0

package netfilter

import (
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// What rules say is found however they were written, and nothing else is taken for it.
func TestRead(t *testing.T) {
	lab.Need(t, "nft", "iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy")
	rule := func(command string) []string {
		return append(strings.Fields(command), strings.Fields("-p tcp --tcp-flags SYN,RST SYN -j TCPMSS")...)
	}
	nft := func(rules string) [][]string { return [][]string{{"nft", rules}} }
	for name, c := range map[string]struct {
		commands [][]string
		want     Rules
	}{
		"no rules": {},
		"iptables-nft": {[][]string{
			append(rule("iptables-nft -t mangle -A FORWARD"), "--set-mss", "1340"),
			append(rule("iptables-nft -t mangle -A POSTROUTING -o ppp0"), "--set-mss", "1300"),
			append(rule("iptables-nft -A OUTPUT"), "--set-mss", "600"),
			append(rule("ip6tables-nft -t mangle -A FORWARD"), "--clamp-mss-to-pmtu"),
		}, Rules{MSS4: 1300}},
		"a chain of one's own": {[][]string{
			strings.Fields("ip6tables-nft -t mangle -N clamp"),
			strings.Fields("ip6tables-nft -t mangle -A FORWARD -j clamp"),
			append(rule("ip6tables-nft -t mangle -A clamp"), "--set-mss", "1320"),
		}, Rules{MSS6: 1320}},
		"legacy": {[][]string{
			append(rule("iptables-legacy -t mangle -A INPUT"), "--set-mss", "600"),
			append(rule("iptables-legacy -t mangle -A OUTPUT"), "--set-mss", "600"),
			append(rule("iptables-legacy -t mangle -A FORWARD -s 10.0.0.0/8"), "--set-mss", "1341"),
			append(rule("iptables-legacy -A FORWARD -m comment --comment other"), "--set-mss", "1350"),
			strings.Fields("ip6tables-legacy -t mangle -N clamp"),
			append(rule("ip6tables-legacy -t mangle -A clamp"), "--set-mss", "1321"),
			append(rule("ip6tables-legacy -t mangle -A FORWARD"), "--clamp-mss-to-pmtu"),
		}, Rules{MSS4: 1341, MSS6: 1321}},
		"both": {[][]string{
			append(rule("iptables-legacy -t mangle -A FORWARD"), "--set-mss", "1341"),
			append(rule("iptables-nft -t mangle -A FORWARD"), "--set-mss", "1342"),
		}, Rules{MSS4: 1341}},
		"nft": {nft(`
			table inet t {
				chain out {
					type filter hook output priority mangle;
					tcp option maxseg size set 600
				}
				chain forward {
					type filter hook forward priority mangle;
					tcp flags syn tcp option maxseg size 700 counter
					tcp flags syn tcp option sack-perm missing ct mark set 800
					tcp flags syn tcp option maxseg size set rt mtu
					tcp flags syn tcp option maxseg size set 1360
				}
			}
			table ip6 t {
				chain forward {
					type filter hook forward priority mangle;
					meta mark set 0x1f4 tcp option maxseg size set 1330
				}
			}`), Rules{MSS4: 1360, MSS6: 1330}},
	} {
		t.Run(name, func(t *testing.T) {
			ns := lab.New(t).Namespace("host")
			var r Reader
			read := func() (rules Rules, err error) {
				ns.Do(func() { rules, err = r.Read() })
				return rules, err
			}
			if got, err := read(); got != (Rules{}) || err != nil {
				t.Errorf("before: got %+v, %v", got, err)
			}
			for _, command := range c.commands {
				ns.Run(command[0], command[1:]...)
			}
			for range 2 {
				if got, err := read(); got != c.want || err != nil {
					t.Errorf("got %+v, %v; want %+v", got, err, c.want)
				}
			}
		})
	}
}
