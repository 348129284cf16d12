// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xfwd/xfwd/internal/ctl"
)

// busy has two forwards with counters, two flows and a status.
func busy(t *testing.T) *fake {
	f := newFake(t, `apiVersion: xfwd/v1
forwards:
  - {name: web, frontend: 80, backends: [30080], comment: the web}
  - {frontend: "[2001:db8::7]:53/udp", backends: [5353]}
`)
	f.forwards[0].Counters = ctl.Counters{
		Forward:     ctl.Traffic{Packets: 1234, Bytes: 98765432},
		Reverse:     ctl.Traffic{Packets: 999, Bytes: 1 << 40},
		Connections: ctl.Connections{Opened: 10001, Active: 7},
		Drops:       map[string]uint64{"no-room": 3, "no-claim": 12, "never": 0},
	}
	f.forwards[0].Uses = []ctl.BackendUse{{
		Forward:     f.forwards[0].Counters.Forward,
		Reverse:     f.forwards[0].Counters.Reverse,
		Connections: ctl.Connections{Opened: 10001, Active: 7},
	}}
	f.forwards[0].Setup = ctl.SetupTimes{Buckets: map[int]int64{-47: 9000, -40: 1000}}
	client := ctl.FlowEndpoint{Address: netip.MustParseAddr("198.51.100.9"), Port: 40000}
	target := ctl.FlowEndpoint{Address: netip.MustParseAddr("192.0.2.1"), Port: 30080}
	f.flows = []ctl.Flow{{
		Frontend: f.forwards[0].Frontend, Name: "web",
		Client: client, Source: client, Target: target,
		Destination: ctl.FlowEndpoint{Address: target.Address, Port: 80},
		State:       "established", Idle: 3*time.Minute + 100*time.Millisecond,
	}, {
		Frontend: f.forwards[1].Frontend,
		Client:   ctl.FlowEndpoint{Address: netip.MustParseAddr("2001:db8::1"), Port: 1},
		State:    "one-way",
	}}
	f.status = ctl.Status{
		Loaded: true, Kernel: "6.1.0", Pins: "/sys/fs/bpf/xfwd/1", Forwards: 2,
		Hooks: []ctl.HookStatus{
			{Device: "eth0", Kind: "device", Hook: "ingress", Mode: "tcx", Why: "the kernel has tcx links"},
			{Device: "eth0", Kind: "device", Hook: "egress", Mode: "tcx", Why: "the kernel has tcx links"},
			{Device: "a", Kind: "veth", Hook: "ingress", Mode: "tcx", Why: "the kernel has tcx links"},
			{Device: "a", Kind: "veth", Hook: "egress", Mode: "tcx", Why: "the kernel has tcx links"},
			{Device: "a", Kind: "veth", Hook: "xdp", Mode: "none", Why: "tc alone"},
			{Device: "b", Kind: "veth", Hook: "ingress", Mode: "tcx", Why: "the kernel has tcx links"},
			{Device: "b", Kind: "veth", Hook: "egress", Mode: "tcx", Why: "the kernel has tcx links"},
			{Device: "b", Kind: "veth", Hook: "xdp", Mode: "none", Why: "tc alone"},
			{Device: "c", Kind: "veth", Hook: "ingress", Mode: "none", Why: "it has come just now", Missing: true},
			{Device: "c", Kind: "veth", Hook: "egress", Mode: "tcx", Why: "the kernel has tcx links"},
			{Device: "c", Kind: "veth", Hook: "xdp", Mode: "none", Why: "tc alone"},
			{Hook: "connect4", Mode: "none", Why: "no cgroup v2"},
			{Hook: "connect6", Mode: "none", Why: "no cgroup v2"},
		},
		Flows:    ctl.FlowTable{MaxFlows: 65536, Established: 5, Transitory: 2, Evicted: ctl.Evicted{Established: 3}},
		Passes:   map[string]uint64{"not-ours": 100},
		Warnings: []string{"connections of this host\nare not forwarded"},
	}
	return f
}

func TestLook(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"stats", `FRONTEND              IN-PKTS  IN-BYTES  OUT-PKTS  OUT-BYTES  OPENED  ACTIVE  DROPS
80/tcp                   1.2k       99M       999       1.1T     10k       7     15
[2001:db8::7]:53/udp        0         0         0          0       0       0      0
80/tcp dropped: no-claim 12, no-room 3
`},
		{"stats 80 -o wide", `FRONTEND  IN-PKTS  IN-BYTES  OUT-PKTS      OUT-BYTES  OPENED  ACTIVE  DROPS
80/tcp       1234  98765432       999  1099511627776   10001       7     15
80/tcp dropped: no-claim 12, no-room 3
`},
		{"show web", `80/tcp -> this host:30080
  name         web
  devices      any
  source       auto
  balance      maglev
  affinity     none
  own          auto
  check        none
  mss          auto
  comment      the web
  expires      never
  forward      1234 packets, 98765432 bytes
  reverse      999 packets, 1099511627776 bytes
  connections  10001 opened, 7 active
  accepted     half of them within 290µs, 99 % within 980µs
  drops        no-claim 12, no-room 3

BACKEND          WEIGHT  STATE   CONNECTIONS  IN-BYTES  OUT-BYTES  SOURCE
this host:30080       1  active            7       99M       1.1T  kept
`},
		{"flows", `PROTO  CLIENT              DESTINATION   TARGET           STATE        IDLE
tcp    198.51.100.9:40000  192.0.2.1:80  192.0.2.1:30080  established    3m
udp    [2001:db8::1]:1     -             -                one-way        0s
`},
		{"flows --client 198.51.100.0/24:40000 --state syn --state established --idle 3m", `PROTO  CLIENT              DESTINATION   TARGET           STATE        IDLE
tcp    198.51.100.9:40000  192.0.2.1:80  192.0.2.1:30080  established    3m
`},
		{"flows --protocol udp", `PROTO  CLIENT           DESTINATION  TARGET  STATE    IDLE
udp    [2001:db8::1]:1  -            -       one-way    0s
`},
		{"flows --limit 1", `PROTO  CLIENT              DESTINATION   TARGET           STATE        IDLE
tcp    198.51.100.9:40000  192.0.2.1:80  192.0.2.1:30080  established    3m
`},
		{"flows web --protocol udp", "no flows\n"},
		{"flows --target :30080 --protocol udp -o json", "[]\n"},
		{"flows --count", "2\n"},
		{"flows --count --limit 1", "1\n"},
		{"flows --count --target 192.0.2.1 -o yaml", "1\n"},
		{"flows web -o wide", `PROTO  CLIENT              DESTINATION   TARGET           STATE        IDLE  SOURCE              FRONTEND  NAME
tcp    198.51.100.9:40000  192.0.2.1:80  192.0.2.1:30080  established    3m  198.51.100.9:40000  80/tcp    web
`},
		{"flows 80 -o json", `[
  {"name":"web","frontend":{"protocol":"tcp","address":"","port":80,"portEnd":80,"devices":[]},"client":{"address":"198.51.100.9","port":40000},"destination":{"address":"192.0.2.1","port":80},"source":{"address":"198.51.100.9","port":40000},"target":{"address":"192.0.2.1","port":30080},"state":"established","idleSeconds":180}
]
`},
		{"flows 80 -o yaml", `- name: "web"
  frontend:
    protocol: "tcp"
    address: ""
    port: 80
    portEnd: 80
    devices: []
  client:
    address: "198.51.100.9"
    port: 40000
  destination:
    address: "192.0.2.1"
    port: 80
  source:
    address: "198.51.100.9"
    port: 40000
  target:
    address: "192.0.2.1"
    port: 30080
  state: "established"
  idleSeconds: 180
`},
		{"status", `warning: connections of this host; are not forwarded
dataplane  loaded
version    v0.1
kernel     6.1.0
pins       /sys/fs/bpf/xfwd/1
forwards   2
flows      5 established, 2 transitory, room for 65536
evicted    3 established entries, for want of room
passed     not-ours 100
dropped    nothing

DEVICE    HOOK               MODE  WHY
eth0      ingress,egress     tcx   the kernel has tcx links
veth (2)  ingress,egress     tcx   the kernel has tcx links
veth (2)  xdp                none  tc alone
c         ingress            none  it has come just now
c         egress             tcx   the kernel has tcx links
c         xdp                none  tc alone
-         connect4,connect6  none  no cgroup v2
`},
		{"status -o wide", `warning: connections of this host; are not forwarded
dataplane  loaded
version    v0.1
kernel     6.1.0
pins       /sys/fs/bpf/xfwd/1
forwards   2
flows      5 established, 2 transitory, room for 65536
evicted    3 established entries, for want of room
passed     not-ours 100
dropped    nothing

DEVICE  HOOK      MODE  WHY
eth0    ingress   tcx   the kernel has tcx links
eth0    egress    tcx   the kernel has tcx links
a       ingress   tcx   the kernel has tcx links
a       egress    tcx   the kernel has tcx links
a       xdp       none  tc alone
b       ingress   tcx   the kernel has tcx links
b       egress    tcx   the kernel has tcx links
b       xdp       none  tc alone
c       ingress   none  it has come just now
c       egress    tcx   the kernel has tcx links
c       xdp       none  tc alone
-       connect4  none  no cgroup v2
-       connect6  none  no cgroup v2
`},
	} {
		t.Run(test.args, func(t *testing.T) {
			got := busy(t).test(t.Context(), nil, strings.Fields(test.args)...)
			if diff := cmp.Diff(result{stdout: test.want}, got, cmp.AllowUnexported(result{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStatusNotLoaded(t *testing.T) {
	f := &fake{status: ctl.Status{Kernel: "6.1.0"}}
	got := f.test(t.Context(), nil, "status")
	want := "dataplane  not loaded; the first `xfwd add` or `xfwd restore` loads it\nversion    v0.1\nkernel     6.1.0\n"
	if got != (result{stdout: want}) {
		t.Errorf("got %+v", got)
	}
}

// JSON of list has every number and is what the contract says in all else.
func TestListJSON(t *testing.T) {
	got := busy(t).test(t.Context(), nil, "list", "-o", "json")
	var forwards []ctl.ForwardView
	if err := json.Unmarshal([]byte(got.stdout), &forwards); err != nil {
		t.Fatalf("%v in %+v", err, got)
	}
	if len(forwards) != 2 || forwards[0].Name != "web" || forwards[0].Counters.Reverse.Bytes != 1<<40 || forwards[1].Counters == nil {
		t.Errorf("got %s", got.stdout)
	}
}

// A failure in the middle of flows is not taken for the end of the list.
func TestFlowsFail(t *testing.T) {
	f := busy(t)
	f.err = ctl.Errorf(ctl.ErrUnsupported, "no more")
	for _, args := range []string{"-o table", "-o json", "-o yaml", "--count"} {
		got := f.test(t.Context(), nil, strings.Fields("flows "+args)...)
		if got.status != exitUnsupported || got.stderr != "xfwd: no more\n" || strings.HasSuffix(got.stdout, "]\n") {
			t.Errorf("%s: %+v", args, got)
		}
	}
}

// Only what passes the filters is forgotten, and not in a rehearsal.
func TestFlowsDel(t *testing.T) {
	f := busy(t)
	for _, test := range []struct {
		args, want string
		left       int
	}{
		{"--all --dry-run", "would forget 2 flows\n", 2},
		{"web --protocol udp", "forgot 0 flows\n", 2},
		{"--client 198.51.100.8/31 --dry-run -o json", "{\n  \"dryRun\": true,\n  \"flows\": 1\n}\n", 2},
		{"web", "forgot 1 flow\n", 1},
		{"--all --existing reset", "forgot 1 flow\n", 0},
	} {
		got := f.test(t.Context(), nil, strings.Fields("flows del "+test.args)...)
		if got != (result{stdout: test.want}) || len(f.flows) != test.left {
			t.Errorf("%s: %+v, and %d flows are left", test.args, got, len(f.flows))
		}
	}
	if f.existing != ctl.ExistingReset {
		t.Errorf("existing connections: %s", f.existing)
	}
}

// Many flows are printed in parts that are aligned with what went before.
func TestFlowsMany(t *testing.T) {
	f := busy(t)
	for len(f.flows) < 2*flowsAtOnce+1 {
		f.flows = append(f.flows, f.flows[0])
	}
	got := f.test(t.Context(), nil, "flows")
	lines := strings.Split(strings.TrimSuffix(got.stdout, "\n"), "\n")
	if len(lines) != len(f.flows)+1 {
		t.Errorf("%d lines for %d flows", len(lines), len(f.flows))
	}
	if first, last := lines[1], lines[len(lines)-1]; first != last {
		t.Errorf("first and last line differ:\n%s\n%s", first, last)
	}
}

func TestExisting(t *testing.T) {
	for _, test := range []struct {
		args string
		want ctl.Existing
	}{
		{"del 80", ctl.ExistingKeep},
		{"del 80 --existing reset", ctl.ExistingReset},
		{"add 80 1 --replace", ctl.ExistingKeep},
		{"add 80 1 --replace --existing reset", ctl.ExistingReset},
		{"backend del 80 30080", ctl.ExistingKeep},
		{"backend del 80 30080 --existing reset", ctl.ExistingReset},
	} {
		f := busy(t)
		got := f.test(context.Background(), nil, strings.Fields(test.args)...)
		if got.status != 0 || f.existing != test.want || f.updates != 1 {
			t.Errorf("%s: %+v, existing %q, %d updates", test.args, got, f.existing, f.updates)
		}
	}
}

// show says of each backend what it gets and what it sees.
func TestShowBackends(t *testing.T) {
	f := newFake(t, `apiVersion: xfwd/v1
forwards:
  - frontend: 80
    backends: ["30080", "10.0.1.101:8443,weight=3,state=draining", "[2001:db8::9]:80,weight=1000", "10.0.1.103:8443,weight=0"]
`)
	f.forwards[0].Backends[2].Health, f.forwards[0].Backends[3].Health = ctl.HealthDown, ctl.HealthDown
	f.forwards[0].Uses = []ctl.BackendUse{
		{Connections: ctl.Connections{Opened: 40, Active: 12}, Forward: ctl.Traffic{Packets: 90, Bytes: 12345}, Reverse: ctl.Traffic{Packets: 80, Bytes: 9876543}},
		{Connections: ctl.Connections{Active: 3}, Masqueraded: true, MasqueradeAddress: netip.MustParseAddr("192.0.2.1")},
		{Masqueraded: true},
		{},
	}
	got := f.test(t.Context(), nil, "show", "80")
	_, table, _ := strings.Cut(got.stdout, "\n\n")
	if diff := cmp.Diff(`BACKEND           WEIGHT  STATE     CONNECTIONS  IN-BYTES  OUT-BYTES  SOURCE
this host:30080        1  active             12       12k       9.9M  kept
10.0.1.101:8443        3  draining       3 left         0          0  masqueraded as 192.0.2.1
[2001:db8::9]:80    1000  down                0         0          0  masqueraded
10.0.1.103:8443        0  drained             0         0          0  kept
`, table); diff != "" || got.status != 0 {
		t.Errorf("%s\n%+v", diff, got)
	}

	got = f.test(t.Context(), nil, "show", "80", "-o", "json")
	var forwards []ctl.ForwardView
	if err := json.Unmarshal([]byte(got.stdout), &forwards); err != nil {
		t.Fatalf("%v in %+v", err, got)
	}
	if b := forwards[0].Backends; *b[0].Active != 12 || *b[1].Active != 3 || b[1].State != ctl.BackendDraining || b[3].State != ctl.BackendDraining {
		t.Errorf("got %s", got.stdout)
	}
}
