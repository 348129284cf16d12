// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

// Errors are never answered by errors, nor are fragments that have no ports (RFC
// 5508, REQ-10e; RFC 1812 4.3.2.7; RFC 4443 2.4).
func TestWhatIsNeverAnswered(t *testing.T) {
	request := data(1001, 5001, "a question")
	about := between(pod.itself(), client.itself(), portUnreachable.full(toThePod.forwarded(request)), hops(1))
	runCases(t, []testCase{
		{
			name:     "errors",
			forwards: []string{"80 pod:8080"},
			steps: slices.Concat(toThePod.handshake(), []step{
				toThePod.asks(request),
				arrives(about).on("pod0").isDropped("time-exceeded"),
			}),
		},
		{
			name:     "later fragments",
			forwards: []string{"80/udp pod:8080"},
			steps: []step{
				toThePod.asks(big, first(7, 24)).opening(),
				arrives(toThePod.request(big, last(7, 24), hops(1))).isDropped("time-exceeded"),
			},
		},
	})
}

// No more than a thousand answers a second are sent on each processor (RFC 5508,
// REQ-10f; RFC 1812 4.3.2.8; RFC 4443 2.4), and what is not answered is counted like
// what is.
func TestAnswersAreLimited(t *testing.T) {
	const perSecond = 1000
	most := perSecond * runtime.NumCPU()
	ask := func(r *run) verdict {
		r.Helper()
		frame := r.link.frame(web.request(udp("?")), r.family, r.mac("eth0"))
		out, err := r.process(input{program: r.programs[place{ingress, r.link}], frame: frame, device: "eth0"})
		if err != nil {
			r.Fatal(err)
		}
		return out.verdict
	}
	runCases(t, []testCase{{
		name:     "of nobody",
		forwards: []string{"80/udp 30080"},
		links:    onlyEthernet[:1],
		steps: []step{noBackend, does(func(r *run) {
			r.Helper()
			r.forgetAnswers()
			r.Cleanup(r.forgetAnswers)
			before, began := r.counted(), time.Now()
			answers, packets := 0, 2*most
			for range packets {
				switch v := ask(r); v {
				case redirected:
					answers++
				case drop:
				default:
					r.Fatalf("the verdict is %v", v.of(ingress))
				}
			}
			// As many as may be sent at once, and those that have become due meanwhile.
			allowed := most + int(float64(most)*time.Since(began).Seconds()) + runtime.NumCPU()
			if answers == 0 || answers > allowed {
				r.Errorf("%d of %d packets were answered, want at most %d", answers, packets, allowed)
			}
			if got := r.counted().since(before).Drops["no-backend"]; got != uint64(packets) {
				r.Errorf("%d packets were counted, want %d", got, packets)
			}
		})},
	}})
}

// forgetAnswers has the programs believe that they have sent no answers, for other
// tests want some.
func (r *run) forgetAnswers() {
	r.Helper()
	answers, err := ebpf.LoadPinnedMap(filepath.Join(r.pins, "maps", "answers"), nil)
	if err != nil {
		r.Fatal(err)
	}
	defer answers.Close()
	none := make([][]byte, ebpf.MustPossibleCPU())
	for i := range none {
		none[i] = make([]byte, answers.ValueSize())
	}
	if err := answers.Put(uint32(0), none); err != nil {
		r.Fatal(err)
	}
}
