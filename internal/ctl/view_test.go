// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestView(t *testing.T) {
	counters := Counters{
		Forward: Traffic{Packets: 1, Bytes: 2}, Reverse: Traffic{Packets: 3, Bytes: 4},
		Connections: Connections{Opened: 5, Active: 6}, Drops: map[string]uint64{"no-room": 7},
	}
	full := forwards(t, "192.0.2.7:9000-9001/udp 10.0.0.5:1-2 web eth0")[0]
	full.Backends = append(full.Backends, Backend{Address: full.Backends[0].Address, Ports: PortRange{5, 5}})
	full.Affinity = 3 * time.Hour
	full.AffinityGroup = "shop"
	full.Check = check(t, "http,path=/healthz,interval=2500ms")
	full.MSS = 1340
	full.Comment = "x"
	full.ExpiresAt = time.Date(2030, 12, 31, 23, 59, 0, 0, time.UTC)
	counted := ForwardCounters{Forward: full, Counters: counters, Uses: make([]BackendUse, 2)}
	counted.Uses[0] = BackendUse{Forward: Traffic{1, 2}, Reverse: Traffic{3, 4}, Connections: Connections{Opened: 5, Active: 6}}
	counted.Setup = SetupTimes{Sum: 1500 * time.Millisecond, Buckets: map[int]int64{-4: 2, 0: 1}}
	for _, test := range []struct {
		name string
		view ForwardView
		want string
	}{
		{"least", forwards(t, "80 30080")[0].View(), `{
  "name": "",
  "frontend": {
    "protocol": "tcp",
    "address": "",
    "port": 80,
    "portEnd": 80,
    "devices": []
  },
  "backends": [
    {
      "address": "",
      "port": 30080,
      "portEnd": 30080,
      "weight": 1,
      "state": "active",
      "health": ""
    }
  ],
  "source": "auto",
  "balance": "maglev",
  "affinitySeconds": 0,
  "own": "auto",
  "check": null,
  "mss": "auto",
  "comment": "",
  "expiresAt": null
}`},
		{"most", counted.CountersView(), `{
  "name": "web",
  "frontend": {
    "protocol": "udp",
    "address": "192.0.2.7",
    "port": 9000,
    "portEnd": 9001,
    "devices": [
      "eth0"
    ]
  },
  "backends": [
    {
      "address": "10.0.0.5",
      "port": 1,
      "portEnd": 2,
      "weight": 1,
      "state": "active",
      "health": "",
      "active": 6,
      "counters": {
        "forward": {
          "packets": 1,
          "bytes": 2
        },
        "reverse": {
          "packets": 3,
          "bytes": 4
        },
        "connections": {
          "opened": 5,
          "active": 6
        }
      }
    },
    {
      "address": "10.0.0.5",
      "port": 5,
      "portEnd": 5,
      "weight": 0,
      "state": "draining",
      "health": "",
      "active": 0,
      "counters": {
        "forward": {
          "packets": 0,
          "bytes": 0
        },
        "reverse": {
          "packets": 0,
          "bytes": 0
        },
        "connections": {
          "opened": 0,
          "active": 0
        }
      }
    }
  ],
  "source": "auto",
  "balance": "maglev",
  "affinitySeconds": 10800,
  "affinityGroup": "shop",
  "own": "auto",
  "check": {
    "kind": "http",
    "path": "/healthz",
    "port": 0,
    "intervalSeconds": 2.5,
    "timeoutSeconds": 2,
    "rise": 2,
    "fall": 3
  },
  "mss": "1340",
  "comment": "x",
  "expiresAt": "2030-12-31T23:59:00Z",
  "counters": {
    "forward": {
      "packets": 1,
      "bytes": 2
    },
    "reverse": {
      "packets": 3,
      "bytes": 4
    },
    "connections": {
      "opened": 5,
      "active": 6
    },
    "drops": {
      "no-room": 7
    }
  },
  "setup": {
    "connections": 3,
    "sumSeconds": 1.5,
    "p50Seconds": 0.5,
    "p99Seconds": 1
  }
}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := json.MarshalIndent(test.view, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if drops := (ForwardCounters{}).CountersView().Counters.Drops; drops == nil {
		t.Error("no drops are null, not {}")
	}
}
