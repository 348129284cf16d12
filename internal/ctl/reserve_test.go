// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/xfwd/xfwd/internal/maps"
)

func TestPublishedPorts(t *testing.T) {
	usual := maps.PortRange{First: 32768, Last: 60999}
	for _, c := range []struct {
		name      string
		ephemeral maps.PortRange
		frontends []PortRange
		want      []maps.PortRange
		warns     bool
	}{
		{"none that the kernel gives", usual, []PortRange{{80, 80}, {61000, 65535}}, nil, false},
		{"some of them", usual, []PortRange{{30000, 32768}, {60999, 65535}}, []maps.PortRange{{First: 32768, Last: 32768}, {First: 60999, Last: 60999}}, false},
		{"as many as can be", usual, []PortRange{{1, 60999 - 4096}}, []maps.PortRange{{First: 32768, Last: 60999 - 4096}}, false},
		{"one too many", usual, []PortRange{{1, 60999 - 4095}}, nil, true},
		{"those of two forwards", usual, []PortRange{{32768, 50000}, {50001, 60999}}, nil, true},
		{"the same twice", usual, []PortRange{{32768, 50000}, {32768, 50000}}, []maps.PortRange{{First: 32768, Last: 50000}, {First: 32768, Last: 50000}}, false},
		{"of a small range", maps.PortRange{First: 1000, Last: 1099}, []PortRange{{1, 1074}}, []maps.PortRange{{First: 1000, Last: 1074}}, false},
		{"too many of a small range", maps.PortRange{First: 1000, Last: 1099}, []PortRange{{1, 1075}}, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var forwards []Forward
			for _, ports := range c.frontends {
				forwards = append(forwards, Forward{Frontend: Frontend{Ports: ports}})
			}
			got, warnings := publishedPorts(c.ephemeral, forwards, forwards)
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (len(warnings) > 0) != c.warns {
				t.Errorf("warnings: %q", warnings)
			}
			if _, again := publishedPorts(c.ephemeral, forwards, nil); again != nil {
				t.Errorf("without a new forward: %q", again)
			}
		})
	}
}
