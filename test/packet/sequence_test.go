// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"

	"github.com/xfwd/xfwd/bpf"
	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// largestWindow is SEQUENCE_WINDOW of the programs.
var largestWindow uint32 = 1 << 24

// What ends a connection must have its numbers (RFC 5961, RFC 7857 2.2). What does not
// fit is passed on and changes nothing.
func TestForgedEndings(t *testing.T) {
	web80 := []string{"80 30080"}
	var cases []testCase
	// The client has sent 3 bytes since it opened, the server 4; neither has acknowledged them.
	talk := slices.Concat(web.handshake(), []step{web.asks(data(1001, 5001, "abc")), web.answers(data(5001, 1001, "defg"))})
	for name, s := range map[string]step{
		"a reset of the client, one too low":        web.asks(rst(1000)),
		"a reset of the client, inside its data":    web.asks(rst(1002)),
		"a reset of the client, one too high":       web.asks(rst(1005)),
		"a reset of the client, in its window":      web.asks(rst(1004 + 60000)),
		"a reset of the client, far away":           web.asks(rst(1004 + 1<<31)),
		"a reset of the server, one too low":        web.answers(rst(5000)),
		"a reset of the server, inside its data":    web.answers(rst(5003)),
		"a reset of the server, one too high":       web.answers(rst(5006)),
		"a reset that acknowledges":                 web.asks(segment{flags: "R.", seq: 1500, ack: 5005}),
		"a reset with the other direction's number": web.asks(rst(5005)),
		"another SYN":                                web.asks(syn(77000)),
		"another answer to none":                     web.answers(synAck(77000, 1001)),
		"a SYN of the server":                        web.answers(syn(77000)),
		"an answer of the client":                    web.asks(synAck(77000, 5005)),
		"a segment without an acknowledgement":       web.asks(segment{flags: "F", seq: 1004}),
		"a FIN far behind":                           web.asks(fin(1004-largestWindow-1, 5005)),
		"a FIN far ahead":                            web.asks(fin(1004+largestWindow+1, 5005)),
		"a FIN that acknowledges what was long ago":  web.asks(fin(1004, 5001-largestWindow-1)),
		"a FIN that acknowledges what is to be sent": web.asks(fin(1004, 5001+largestWindow+1)),
		"a FIN of the server far ahead":              web.answers(fin(5005+largestWindow+1, 1004)),
		"data far ahead":                             web.asks(data(1004+largestWindow+1, 5005, "!")),
		"data behind a gap":                          web.asks(data(1010, 5005, "!")),
	} {
		cases = append(cases, testCase{
			name: name, forwards: web80,
			steps: slices.Concat(talk, []step{
				s, flows{Established: 1},
				// None has learned from it: both FINs fit, and so does a reset after them.
				web.asks(fin(1004, 5005)), flows{Established: 1},
				web.answers(ack(5005, 1005)), flows{Established: 1},
				web.answers(rst(5005)), flows{Transitory: 1},
			}),
		})
	}
	runCases(t, cases)
}

// What has the numbers ends it.
func TestEndingsThatFit(t *testing.T) {
	web80 := []string{"80 30080"}
	talk := slices.Concat(web.handshake(), []step{web.asks(data(1001, 5001, "abc")), web.answers(data(5001, 1001, "defg"))})
	var cases []testCase
	for name, steps := range map[string][]step{
		"a reset behind what the client has sent":              {web.asks(rst(1004))},
		"a reset at what the server has acknowledged":          {web.asks(rst(1001))},
		"a reset behind what the server has sent":              {web.answers(rst(5005))},
		"a reset at what the client has acknowledged":          {web.answers(rst(5001))},
		"a reset by a client of which something was lost":      {web.asks(data(1010, 5005, "!")), web.asks(rst(1011)), flows{Established: 1}, web.answers(ack(5005, 1004)), web.asks(rst(1004))},
		"a reset after what was lost has come":                 {web.asks(data(1010, 5005, "!")), web.asks(data(1004, 5005, "was it")), web.answers(ack(5005, 1011)), web.asks(rst(1011))},
		"a reset, where the lost was acknowledged":             {web.asks(data(1010, 5005, "!")), web.answers(ack(5005, 1011)), web.asks(rst(1011))},
		"FINs behind gaps":                                     {web.asks(fin(1010, 5005)), web.answers(fin(5015, 1004))},
		"FINs that come again":                                 {web.asks(fin(1004, 5005)), web.asks(fin(1004, 5005)), web.answers(fin(5005, 1005)), web.answers(fin(5005, 1005))},
		"numbers that have come around":                        {web.asks(fin(1004, 5005)), web.answers(fin(5005, 1005)), web.asks(ack(1005, 5006))},
		"a FIN after a leap of the acknowledgements":           {web.answers(data(5005, 1004, "more")), web.asks(fin(1004, 5009)), web.answers(fin(5009, 1005))},
		"a reset of what another connection by the tuple does": {web.asks(syn(77000)), web.answers(synAck(99000, 77001)), web.asks(ack(77001, 99001)), flows{Established: 1}, web.asks(rst(77001))},
	} {
		cases = append(cases, testCase{name: name, forwards: web80, steps: slices.Concat(talk, steps, []step{flows{Transitory: 1}})})
	}
	cases = append(cases, testCase{
		name: "a refusal", forwards: web80,
		steps: []step{
			web.asks(syn(1000)).opening(),
			web.answers(segment{flags: "R.", ack: 1000}),
			web.asks(syn(1000)),
			web.answers(segment{flags: "R.", ack: 1001}),
			web.asks(syn(2000)).opening(),
		},
	})
	runCases(t, cases)
}

// News of a direction take back what was said in its name.
func TestDataReopens(t *testing.T) {
	web80 := []string{"80 30080"}
	runCases(t, []testCase{
		{
			name: "after a reset", forwards: web80,
			steps: slices.Concat(web.handshake(), []step{
				web.asks(rst(1001)), flows{Transitory: 1},
				web.answers(data(5001, 1001, "defg")), flows{Transitory: 1},
				web.asks(ack(1001, 5001)), flows{Transitory: 1},
				web.asks(ack(1001, 5005)), flows{Established: 1},
				web.asks(data(1001, 5005, "abc")), web.answers(ack(5005, 1004)), flows{Established: 1},
			}),
		},
		{
			name: "after a reset of the server", forwards: web80,
			steps: slices.Concat(web.handshake(), []step{
				web.answers(rst(5001)), flows{Transitory: 1},
				web.asks(data(1001, 5001, "abc")), flows{Transitory: 1},
				web.answers(ack(5001, 1001)), flows{Transitory: 1},
				web.answers(ack(5001, 1004)), flows{Transitory: 1},
				web.asks(ack(1004, 5001)), flows{Established: 1},
			}),
		},
		{
			name: "after a FIN of each", forwards: web80,
			steps: slices.Concat(web.handshake(), []step{
				web.asks(fin(1001, 5001)),
				web.answers(fin(5001, 1002)), flows{Transitory: 1},
				web.asks(data(1001, 5002, "I have not closed")), flows{Established: 1},
				web.asks(fin(1018, 5002)), flows{Transitory: 1},
			}),
		},
		{
			name: "not by what fills the gap before a FIN", forwards: web80,
			steps: slices.Concat(web.handshake(), []step{
				web.asks(fin(1005, 5001)),
				web.asks(data(1001, 5001, "lost")),
				web.answers(fin(5001, 1006)), flows{Transitory: 1},
			}),
		},
		{
			name: "and the one that closes in the end is counted as it was opened", forwards: web80,
			steps: slices.Concat(web.handshake(), []step{
				web.asks(rst(1001)), web.asks(data(1001, 5001, "abc")), flows{Established: 1},
				web.asks(rst(1004)), flows{Transitory: 1},
			}),
		},
	})
}

// Who gets the tuple of a flow that is over, or hardly one.
func TestTuplesThatAreGivenAgain(t *testing.T) {
	t.Parallel()
	w := borrowWorld(t).hastened(t)
	const port = 20000
	one := settings(func(s *xfwd.Settings) { s.Masquerade = xfwd.PortRange{First: port, Last: port} })
	from := func(m machine, at, to int) relayed {
		return through(m.at(at), host.at(to), remote.at(8080)).between(toRouter, toRemote).seenAs(second.at(port))
	}
	first, other := from(client, 40000, 80), from(router, 40001, 80)
	refused := arrives(other.request(syn(1000))).isDropped("no-source-port")
	forwards := []string{"80/tcp+udp remote:8080 --source masquerade"}
	w.runCases(t, []testCase{
		{
			name: "not that of a connection", forwards: forwards,
			steps: slices.Concat([]step{one}, first.handshake(), []step{idle(unconfirmed + within), refused}),
		},
		{
			name: "not that of one which is said to be reset by its client", forwards: forwards,
			steps: slices.Concat([]step{one}, first.handshake(), []step{first.asks(rst(1001)), idle(timeWait + within), refused}),
		},
		{
			name: "that of one which its target has reset, when it may have forgotten", forwards: forwards,
			steps: slices.Concat([]step{one}, first.handshake(), []step{first.answers(rst(5001)), refused, idle(timeWait + within)}, other.handshake()),
		},
		{
			name: "that of one which its target has closed first, when it has forgotten", forwards: forwards,
			steps: slices.Concat([]step{one}, first.handshake(), []step{
				first.answers(fin(5001, 1001)), first.asks(fin(1001, 5002)), first.answers(ack(5002, 1002)), refused,
				idle(timeWait + within),
			}, other.handshake()),
		},
		{
			name: "that of one which its client has closed first, when its target knows", forwards: forwards,
			steps: slices.Concat([]step{one}, first.handshake(), []step{
				first.asks(fin(1001, 5001)), first.answers(fin(5001, 1001)), first.asks(ack(1002, 5002)), refused,
				first.answers(ack(5002, 1002)),
			}, other.handshake()),
		},
		{
			name: "that of what was not confirmed, after a while", forwards: forwards,
			steps: slices.Concat([]step{
				one, first.asks(syn(1000)).opening(), first.answers(synAck(5000, 1001)), refused, idle(unconfirmed + within),
			}, other.handshake()),
		},
		{
			name: "that of a question with its answer, soon", forwards: forwards,
			steps: []step{
				one, first.asks(udp("?")).opening(), first.answers(udp("!")),
				arrives(other.request(udp("?"))).isDropped("no-source-port"), idle(brief + within),
				other.asks(udp("?")).opening(), other.answers(udp("!")),
			},
		},
		{
			name: "not that of a conversation", forwards: forwards,
			steps: []step{
				one, first.asks(udp("?")).opening(), first.answers(udp("!")), first.asks(udp("?")), idle(brief + within),
				arrives(other.request(udp("?"))).isDropped("no-source-port"), first.answers(udp("!")),
			},
		},
		{
			name: "that of a client of the target whom it has not answered, after a while", forwards: []string{"80 30080"},
			steps: slices.Concat([]step{
				arrives(between(client.at(40000), host.at(30080), syn(7000))).stays("direct"),
				idle(unconfirmed + within),
			}, web.handshake()),
		},
	})
}

// The LRU takes half of a flow, which goes on with the numbers that the other half knows.
func TestNumbersAreFoundAgain(t *testing.T) {
	half := func(established bool, reverse uint8) step {
		return evict(func(e entry) bool {
			return e.established == established && e.flow.Flags&uint8(bpf.XfwdFlowFlagFLOW_REVERSE) == reverse
		})
	}
	var cases []testCase
	for name, reverse := range map[string]uint8{"the client's": 0, "the target's": uint8(bpf.XfwdFlowFlagFLOW_REVERSE)} {
		cases = append(cases, testCase{
			name: name, forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				web.asks(data(1001, 5001, "abc")), web.answers(data(5001, 1004, "defg")), web.asks(ack(1004, 5005)),
				unpaired(true), half(true, reverse),
				web.asks(ack(1004, 5005)), web.answers(ack(5005, 1004)), unpaired(false), flows{Established: 1},
				web.asks(rst(1001)), web.answers(rst(5001)), flows{Established: 1},
				web.answers(rst(5005)), flows{Transitory: 1},
			}),
		})
	}
	runCases(t, cases)
}

// An ICMP error is about a connection if it quotes what may be on its way (RFC 5927).
func TestErrorsAboutSequenceNumbers(t *testing.T) {
	var largestSegment uint32 = 1 << 16
	web80 := []string{"80 30080"}
	// The client has sent 3 bytes, none of which the server has acknowledged; the server 4.
	talk := slices.Concat(web.handshake(), []step{web.asks(data(1001, 5001, "abc")), web.answers(data(5001, 1001, "defg"))})
	about := func(seq uint32) exchange { return web.onTheWayIn(pod, tooBig, 8, ack(seq, 5001)) }
	aboutAnswers := func(seq uint32) exchange { return web.onTheWayOut(router, tooBig, 8, ack(seq, 1001)) }
	is, isNot := make(map[string]exchange), make(map[string]exchange)
	for what, seq := range map[string][2]uint32{
		"behind all":                     {1004, 5005},
		"the last segment":               {1001, 5001},
		"what may have been one segment": {1001 - largestSegment, 5001 - largestSegment},
	} {
		is["of the client, "+what], is["of the server, "+what] = about(seq[0]), aboutAnswers(seq[1])
	}
	for what, seq := range map[string][2]uint32{
		"what was never sent": {1005, 5006},
		"what was long ago":   {1000 - largestSegment, 5000 - largestSegment},
		"far away":            {1004 + 1<<31, 5005 + 1<<31},
	} {
		isNot["of the client, "+what], isNot["of the server, "+what] = about(seq[0]), aboutAnswers(seq[1])
	}
	var cases []testCase
	for name, e := range is {
		cases = append(cases, testCase{name: name, forwards: web80, steps: slices.Concat(talk, []step{e})})
	}
	for name, e := range isNot {
		cases = append(cases, testCase{name: name, forwards: web80, steps: slices.Concat(talk, []step{e.stays("icmp-unrelated")})})
	}
	cases = append(cases, testCase{
		name: "about a SYN", forwards: web80,
		steps: []step{web.asks(syn(1000)).opening(), web.onTheWayIn(pod, tooBig, 8, syn(1000)), web.onTheWayIn(pod, tooBig, 8, syn(1002)).stays("icmp-unrelated")},
	})
	runCases(t, cases)
}
