// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// add says of each backend elsewhere, in a line of its own, whose address it
// sees, and why; not with --quiet.
func TestAddSaysWhoseAddressIsSeen(t *testing.T) {
	t.Parallel()
	uplink := func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.TwoArmed(1)
		site.Host.DefaultRoutes(lab.Addresses{V4: site.HostSide.V4.Next().Next(), V6: site.HostSide.V6.Next().Next()})
		return site, site.Servers[0]
	}
	for _, test := range []struct {
		name   string
		site   func(*lab.Lab) (*lab.Site, lab.Server)
		source string
		// kept says that the backend sees the client's address.
		kept bool
		// why must be said.
		why string
	}{
		{"container on a bridge", places[3].site, "auto", true, "behind this host on br0"},
		{"container on a veth", places[4].site, "auto", true, "behind this host on pod0"},
		{"container, forced", places[3].site, "masquerade", false, "as you asked"},
		{"machine on an uplink", uplink, "auto", false, "another machine on eth1"},
		{"machine on an uplink, forced", uplink, "preserve", true, "as you asked"},
		{"machine behind a router", func(l *lab.Lab) (*lab.Site, lab.Server) {
			site := l.TwoArmed(0)
			_, far := site.Routers(1500)
			return site, far
		}, "auto", false, "by the gateway"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			site, server := test.site(lab.New(t))
			x := site.Host.XFWD()
			words := append([]string{"80", "--source", test.source}, backends(server, 30080)...)
			said := notes(x.Add(words...))
			for family, addr := range server.Addr.All() {
				line := lineWith(said, addr.String())
				want := "masqueraded as " + site.HostSide.Of(addr).String()
				if test.kept {
					want = "kept"
				}
				if !strings.Contains(line, want) || !strings.Contains(line, test.why) {
					t.Errorf("%s: want a line with %q and %q, got %q of\n%s", family, want, test.why, line, said)
				}
			}
			x.Do("del", "80")
			if said := notes(x.Add(append(words, "--quiet")...)); said != "" {
				t.Errorf("with --quiet: %q", said)
			}
		})
	}
}

// notes are the lines on standard error that are no warnings.
func notes(result lab.Result) (text string) {
	for line := range strings.Lines(result.Stderr) {
		if strings.HasPrefix(line, "note: ") {
			text += line
		}
	}
	return text
}

// lineWith returns the first line of a text that has a word in it.
func lineWith(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			return line
		}
	}
	return ""
}
