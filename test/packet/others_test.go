// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/test/lab"
)

// others is a conversation that is none of ours: this host begins it, or netfilter does
// from an address of it.
type others struct{ from, to endpoint }

func (o others) says(b body, shapes ...shaping) exchange {
	return leaves(between(o.from, o.to, b, shapes...)).stays("direct")
}

func (o others) hears(b body, shapes ...shaping) exchange {
	return arrives(between(o.to, o.from, b, shapes...)).stays("direct")
}

// What this host asks from a frontend's port is answered to itself.
func TestOwnQuestions(t *testing.T) {
	question := others{host.at(50000), remote.at(53)}
	clock := others{host.at(123), router.at(123)}
	seenFirst := func(b, answer body) []step {
		return []step{question.says(b), question.hears(answer), question.says(b), question.hears(answer)}
	}
	unnoticed := func(name string, forwards string, steps ...step) testCase {
		return testCase{name: name, forwards: []string{forwards}, steps: append(steps, flows{})}
	}
	const all = "1000-65535/tcp+udp pod:8080"
	runCases(t, []testCase{
		{
			name:     "UDP",
			forwards: []string{all},
			steps: append([]step{question.says(udp("?")), question.hears(udp("!")), flows{Transitory: 1}},
				question.says(udp("?")), flows{Established: 1}, question.hears(udp("!"))),
		},
		{
			name:     "TCP",
			forwards: []string{all},
			steps: []step{
				question.says(syn(1000)), question.hears(synAck(5000, 1001)), question.says(ack(1001, 5001)),
				flows{Established: 1},
				question.hears(fin(5001, 1001)), question.says(fin(1001, 5002)), question.hears(ack(5002, 1002)),
				flows{Transitory: 1},
			},
		},
		{
			name:     "from a fixed port",
			forwards: []string{"123/udp pod:123"},
			steps:    []step{clock.says(udp("?")), clock.hears(udp("!"))},
		},
		{
			name:     "from a frontend's own address",
			forwards: []string{"vip:50000/udp pod:8080"},
			steps:    []step{others{vip.at(50000), remote.at(53)}.says(udp("?")), others{vip.at(50000), remote.at(53)}.hears(udp("!"))},
		},
		{
			name:     "of which a fragment comes",
			forwards: []string{all},
			steps:    []step{question.says(udp("?")), question.hears(big, first(7, 24)), question.hears(big, last(7, 24))},
		},
		{
			name:     "another's answer is a client's packet",
			forwards: []string{"1000-65535/udp 30080"},
			steps: []step{
				question.says(udp("?")),
				through(router.at(53), host.at(50000), host.at(30080)).asks(udp("!")).opening(),
			},
		},
		{
			name:     "a session from before, whose server speaks first",
			forwards: []string{"22 2222"},
			steps:    append(seenFirstFrom(others{host.at(22), client.at(40000)}), flows{Established: 1}),
		},
		{
			name:     "who asks is told of an error",
			forwards: []string{all},
			steps: []step{
				question.says(udp("?")),
				arrives(between(router.itself(), host.itself(), icmpError{hostUnreachable, between(host.at(50000), remote.at(53), udp("?")), 0})).stays("icmp-translated"),
			},
		},
		{
			name:     "to a target here, too",
			forwards: []string{"1000-65535/tcp+udp second:1000-65535"},
			steps:    append(seenFirst(udp("?"), udp("!")), flows{Established: 1}),
		},
		{
			name:     "a client's flow goes before",
			forwards: []string{"80/udp 30080"},
			steps: []step{
				web.asks(udp("?")).opening(),
				leaves(web.reply(udp("from another process"))).stays("direct"),
				web.asks(udp("?")),
				flows{Transitory: 1},
			},
		},
		unnoticed("of others", all, leaves(between(pod.at(50000), remote.at(53), udp("?"))).stays("no-frontend")),
		unnoticed("by a device that the forward does not have", "1000-65535/udp pod:8080 --device eth1",
			leaves(between(host.at(50000), remote.at(53), udp("?"))).stays("no-frontend")),
		unnoticed("from an address that the forward does not have", "host:50000/udp pod:8080",
			leaves(between(second.at(50000), remote.at(53), udp("?"))).stays("no-frontend")),
		unnoticed("a reset", all, leaves(between(host.at(50000), remote.at(53), rst(1000))).stays("no-frontend")),
		unnoticed("what a target here sends, whose flow was forgotten", "1000-65535 1000-65535",
			leaves(between(host.at(50000), client.at(40000), data(1, 1, "!"))).stays("no-flow"),
			leaves(between(host.at(50000), client.at(40000), synAck(1, 1))).stays("no-flow")),
	})
}

// seenFirstFrom is a connection that stands, of which the host sends the first packet
// that is seen.
func seenFirstFrom(o others) []step {
	return []step{o.says(data(1001, 5001, "a")), o.hears(data(5001, 1002, "b")), o.says(ack(1002, 5002))}
}

// Of TCP, a SYN makes a flow, and what may be of one that was forgotten.
func TestWhatOpensNothing(t *testing.T) {
	runCases(t, []testCase{{
		name:     "answers, resets, and what no client sends",
		forwards: []string{"80 30080", "81 pod:8080"},
		steps: []step{
			arrives(web.request(synAck(1000, 1))).stays("no-flow"),
			arrives(web.request(rst(1000))).stays("no-flow"),
			arrives(web.request(segment{flags: "R.", seq: 1000, ack: 1})).stays("no-flow"),
			arrives(web.request(segment{flags: "", seq: 1000})).stays("no-flow"),
			arrives(web.request(segment{flags: "F", seq: 1000})).stays("no-flow"),
			arrives(web.request(segment{flags: "SR", seq: 1000})).stays("no-flow"),
			arrives(between(client.at(40000), host.at(81), synAck(1000, 1))).stays("no-flow"),
			flows{},
			web.asks(data(1001, 5001, "forgotten")).opening(),
		},
	}})
}

// Connections of netfilter or of this host to a backend, and masqueraded flows to it.
func TestBesideMasqueradedFlows(t *testing.T) {
	forwards := []string{"80/tcp+udp remote:8080 --source masquerade"}
	ours := through(client.at(31000), host.at(80), remote.at(8080)).seenAs(second.at(31000)).between(toRouter, toRemote)
	changed := ours.seenAs(second.at(chosen))
	theirs := others{second.at(31000), remote.at(8080)}
	// What it becomes if ours was first.
	out := func(b body) exchange {
		return leaves(between(second.at(31000), remote.at(8080), b)).becomes(between(second.at(chosen), remote.at(8080), b)).as("direct").on("eth1")
	}
	back := func(b body) exchange {
		return arrives(between(remote.at(8080), second.at(chosen), b)).becomes(between(remote.at(8080), second.at(31000), b)).as("direct").on("eth1")
	}
	inRange := does(func(r *run) {
		r.Helper()
		if r.chosen < masqueradeFirst || r.chosen > masqueradeLast {
			r.Errorf("the port is %d, which sockets of the host may have", r.chosen)
		}
	})
	kept := through(client.at(31000), host.at(80), pod.at(8080)).between(toRouter, toPod)
	runCases(t, []testCase{
		{
			name:     "ours first",
			forwards: forwards,
			steps: slices.Concat(ours.handshake(), []step{
				out(syn(7000)), inRange, back(synAck(9000, 7001)), out(ack(7001, 9001)),
				ours.asks(data(1001, 5001, "of ours")), ours.answers(data(5001, 1008, "to ours")),
				out(data(7001, 9001, "of theirs")), back(data(9001, 7010, "to theirs")),
				flows{Established: 2},
			}),
		},
		{
			name:     "theirs first",
			forwards: forwards,
			steps: slices.Concat([]step{
				theirs.says(syn(7000)).on("eth1"), theirs.hears(synAck(9000, 7001)).on("eth1"), theirs.says(ack(7001, 9001)).on("eth1"),
			}, changed.handshake(), []step{
				inRange,
				theirs.says(data(7001, 9001, "of theirs")).on("eth1"), theirs.hears(data(9001, 7010, "to theirs")).on("eth1"),
				flows{Established: 2},
			}),
		},
		{
			name:     "UDP, ours first",
			forwards: forwards,
			steps: []step{
				ours.asks(udp("?")).opening(), out(udp("??")), inRange, back(udp("!!")), ours.answers(udp("!")),
				flows{Transitory: 2},
			},
		},
		{
			name:     "UDP, theirs first",
			forwards: forwards,
			steps: []step{
				theirs.says(udp("??")).on("eth1"), changed.asks(udp("?")).opening(), theirs.hears(udp("!!")).on("eth1"), changed.answers(udp("!")),
			},
		},
		{
			name:     "an error about theirs",
			forwards: forwards,
			steps: []step{
				ours.asks(udp("?")).opening(), out(udp("??")),
				arrives(between(router.itself(), second.itself(), icmpError{hostUnreachable, between(second.at(chosen), remote.at(8080), udp("??")), 0})).
					becomes(between(router.itself(), second.itself(), icmpError{hostUnreachable, between(second.at(31000), remote.at(8080), udp("??")), 0})).
					as("icmp-translated").on("eth1"),
			},
		},
		{
			name:     "from a port that no masqueraded flow has",
			forwards: forwards,
			steps:    []step{leaves(between(second.at(40000), remote.at(8080), syn(1000))).stays("no-frontend").on("eth1"), flows{}},
		},
		{
			name:     "to another port of the backend",
			forwards: forwards,
			steps:    []step{leaves(between(second.at(31000), remote.at(8081), syn(1000))).stays("no-frontend").on("eth1"), flows{}},
		},
		{
			name:     "to another machine's port",
			forwards: forwards,
			steps:    []step{leaves(between(second.at(31000), besideRemote.at(8080), syn(1000))).stays("no-frontend").on("eth1"), flows{}},
		},
		{
			name:     "a reset",
			forwards: forwards,
			steps:    []step{leaves(between(second.at(31000), remote.at(8080), rst(1000))).stays("no-frontend").on("eth1"), flows{}},
		},
		{
			name:     "a reset in the name of ours",
			forwards: forwards,
			steps: slices.Concat(ours.handshake(), []step{
				leaves(between(second.at(31000), remote.at(8080), rst(1001))).isDropped("impostor").on("eth1"),
				ours.asks(data(1001, 5001, "of ours")), ours.answers(data(5001, 1008, "to ours")),
				flows{Established: 1},
			}),
		},
		{
			name:     "what would pass for a direct client's",
			forwards: append([]string{"81/udp remote:8080 --source preserve"}, forwards...),
			steps: []step{
				ours.asks(udp("?")).opening(),
				arrives(between(second.at(31000), remote.at(8080), udp("??"))).becomes(between(second.at(chosen), remote.at(8080), udp("??"))).as("direct"),
				leaves(between(second.at(31000), remote.at(8080), udp("??"))).isDropped("impostor").on("eth1"),
				ours.answers(udp("!")),
			},
		},
		{
			name:     "another published port of the same client, which netfilter translates",
			forwards: []string{"80 pod:8080"},
			steps: slices.Concat(kept.handshake(), []step{
				leaves(between(client.at(31000), pod.at(8080), syn(7000))).becomes(between(client.at(chosen), pod.at(8080), syn(7000))).as("direct").on("pod0"),
				arrives(between(pod.at(8080), client.at(chosen), synAck(9000, 7001))).becomes(between(pod.at(8080), client.at(31000), synAck(9000, 7001))).as("direct").on("pod0"),
				kept.asks(data(1001, 5001, "of ours")), kept.answers(data(5001, 1008, "to ours")),
			}),
		},
		{
			name:     "a direct client's packets are served when they arrive, and left alone when they leave",
			forwards: []string{"80 pod:8080", "second:8080 pod:8080"},
			steps: slices.Concat(kept.handshake(), []step{
				arrives(between(client.at(31000), pod.at(8080), syn(7000))).becomes(between(client.at(chosen), pod.at(8080), syn(7000))).as("direct"),
				leaves(between(client.at(chosen), pod.at(8080), syn(7000))).stays("direct").on("pod0"),
				arrives(between(pod.at(8080), client.at(chosen), synAck(9000, 7001))).becomes(between(pod.at(8080), client.at(31000), synAck(9000, 7001))).as("direct").on("pod0"),
				leaves(between(pod.at(8080), client.at(31000), synAck(9000, 7001))).stays("no-frontend"),
				kept.answers(data(5001, 1001, "to ours")),
			}),
		},
		{
			name:     "and so are those whose port was kept",
			forwards: []string{"80 pod:8080"},
			steps: []step{
				arrives(between(client.at(31000), pod.at(8080), syn(7000))).stays("direct"),
				leaves(between(client.at(31000), pod.at(8080), syn(7000))).stays("direct").on("pod0"),
				flows{Transitory: 1},
			},
		},
	})
}

// Conversations of others end.
func TestOthersExpire(t *testing.T) {
	t.Parallel()
	w := borrowWorld(t).hastened(t)
	question := others{host.at(50000), remote.at(53)}
	session := others{host.at(22), client.at(40000)}
	w.runCases(t, []testCase{
		{
			name:     "UDP, when this host has long said nothing, whatever comes",
			forwards: []string{"1000-65535/udp 30080"},
			steps: []step{
				question.says(udp("?")),
				idle(oneWay - within),
				question.hears(udp("!")),
				question.says(udp("?")),
				idle(answered - within),
				question.hears(udp("!")),
				idle(2 * within),
				through(remote.at(53), host.at(50000), host.at(30080)).asks(udp("!")).opening(),
			},
		},
		{
			name:     "UDP lives while this host speaks",
			forwards: []string{"1000-65535/udp 30080"},
			steps: []step{
				question.says(udp("?")), idle(oneWay - within), question.says(udp("?")), idle(oneWay - within), question.hears(udp("!")),
			},
		},
		{
			name:     "TCP lives while either speaks",
			forwards: []string{"22 2222"},
			steps: slices.Concat(seenFirstFrom(session), []step{
				idle(established - within), session.hears(ack(5002, 1002)), idle(established - within), session.hears(ack(5002, 1002)),
			}),
		},
		{
			name:     "a client's new connection, where the one before has ended unseen",
			forwards: []string{"22 2222"},
			steps: slices.Concat(seenFirstFrom(session), []step{
				session.hears(syn(8000)),
				idle(transitory - within),
				session.hears(syn(8000)),
				idle(transitory + within),
				through(client.at(40000), host.at(22), host.at(2222)).asks(syn(8000)).opening(),
			}),
		},
		{
			name:     "a client's new connection, where the one before has closed",
			forwards: []string{"22 2222"},
			steps: slices.Concat(seenFirstFrom(session), []step{
				session.says(fin(1002, 5002)), session.hears(fin(5002, 1003)),
				through(client.at(40000), host.at(22), host.at(2222)).asks(syn(8000)).opening(),
			}),
		},
	})
}

// A socket that is connected keeps what is sent to it, also if nothing was seen of it.
func TestSocketsKeepTheirPackets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var cases []testCase
	noted := 2 * len(bothFamilies)
	for _, f := range bothFamilies {
		lab.Eventually(t, lab.Patience, func() error { return w.isLocal(host.address(f)) })
		local, remote := netip.AddrPortFrom(host.address(f), 22), netip.AddrPortFrom(client.address(f), 40000)
		w.connected(t, unix.SOCK_STREAM, local, remote)
		w.connected(t, unix.SOCK_DGRAM, local, remote)
		session := others{host.at(22), client.at(40000)}
		beside := through(client.at(40001), host.at(22), host.at(2222))
		adds := func(lines ...string) step {
			return does(func(r *run) {
				r.Helper()
				r.change(r, ctl.ApplyFile(forwards(r, r.family, lines...), true), ctl.ExistingKeep)
			})
		}
		// The command has noted what it saw.
		forgotten := does(func(r *run) { r.Helper(); r.forget(r) })
		cases = append(cases,
			testCase{
				name:     "what is there when a forward is added, " + f.String(),
				families: []family{f},
				steps: []step{
					adds("22/tcp+udp 2222"), flows{Established: noted},
					session.hears(data(1, 1, "?")), session.hears(udp("?")),
					session.says(data(1, 1, "!")), session.says(udp("!")),
					beside.asks(syn(1000)).opening(), beside.asks(udp("?")).opening(),
					flows{Established: noted, Transitory: 2},
				},
			},
			testCase{
				name:     "what was overlooked then, " + f.String(),
				forwards: []string{"22/tcp+udp 2222"},
				families: []family{f},
				steps: []step{
					forgotten,
					session.hears(data(1, 1, "?")), session.hears(udp("?")), flows{Transitory: 2},
					session.says(data(1, 1, "!")), session.says(udp("!")),
					beside.asks(data(1, 1, "?")).opening(), beside.asks(udp("?")).opening(),
				},
			},
			testCase{
				name:     "not what opens a connection, " + f.String(),
				forwards: []string{"22/tcp 2222"},
				families: []family{f},
				steps: []step{
					forgotten,
					through(client.at(40000), host.at(22), host.at(2222)).asks(syn(1000)).opening(),
				},
			},
			testCase{
				name:     "another forward's are not looked for, " + f.String(),
				families: []family{f},
				steps:    []step{adds("80/tcp+udp 2222", "second:22/tcp+udp 2222", "23/tcp+udp 2222"), flows{}},
			},
			testCase{
				name:     "towards a backend, if masqueraded flows could have their ports, " + f.String(),
				families: []family{f},
				steps:    []step{adds("80/tcp+udp client:40000 --source masquerade"), flows{Established: 2}},
			},
		)
	}
	w.runCases(t, cases)
}

// connected makes a socket of the host that is connected, without a packet of its
// handshake (TCP_REPAIR). The end of the test closes it, without a packet too.
func (w *world) connected(t lab.TB, kind int, local, remote netip.AddrPort) {
	t.Helper()
	family := unix.AF_INET6
	address := func(a netip.AddrPort) unix.Sockaddr {
		return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	}
	if local.Addr().Is4() {
		family = unix.AF_INET
		address = func(a netip.AddrPort) unix.Sockaddr {
			return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
		}
	}
	w.host.Do(func() {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatalf("%v", err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		set := func(level, option int) {
			if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
				t.Fatalf("%v", err)
			}
		}
		set(unix.SOL_SOCKET, unix.SO_REUSEADDR)
		if kind == unix.SOCK_STREAM {
			set(unix.IPPROTO_TCP, unix.TCP_REPAIR)
		}
		if err := unix.Bind(fd, address(local)); err != nil {
			t.Fatalf("%v", err)
		}
		if err := unix.Connect(fd, address(remote)); err != nil {
			t.Fatalf("%v", err)
		}
	})
}
