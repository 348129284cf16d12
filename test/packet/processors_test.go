// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/ctl"
	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// A packet that meets a program on one processor while another meets one on another.
type racing struct {
	hook   hook
	packet packet
}

// together is a step: frames meet the programs at one moment, each on a processor of its
// own, as far as there are enough. What comes out is in the same order.
func (r *run) together(all ...racing) []output {
	r.Helper()
	var waiting atomic.Int32
	waiting.Store(int32(len(all)))
	outs, errs := make([]output, len(all)), make([]error, len(all))
	var done sync.WaitGroup
	for i, one := range all {
		in := input{hook: one.hook, program: r.programs[place{one.hook, r.link}], device: "eth0"}
		in.frame = r.link.frame(one.packet, r.family, r.mac("eth0"))
		done.Go(func() {
			// The thread ends with the goroutine, so nobody else is bound to its processor.
			runtime.LockOSThread()
			var processor unix.CPUSet
			processor.Set(i % runtime.NumCPU())
			if errs[i] = unix.SchedSetaffinity(0, &processor); errs[i] != nil {
				waiting.Add(-1)
				return
			}
			r.host.Do(func() {
				for waiting.Add(-1); waiting.Load() > 0; {
				}
				outs[i], errs[i] = r.processHere(in)
			})
		})
	}
	done.Wait()
	if err := errors.Join(errs...); err != nil {
		r.Fatal(err)
	}
	return outs
}

// Two processors have packets of one flow at the same time: it stays one flow, has one
// backend, and ends when both ends have closed it.
func TestTwoProcessors(t *testing.T) {
	const rounds = 200
	runCases(t, []testCase{{
		name:     "open, confirm and close",
		forwards: []string{"80 30080 30081 30082 --balance round-robin"},
		links:    []linkLayer{ethernet},
		steps: []step{does(func(r *run) {
			for round := range rounds {
				r.raceOnce(round)
				if r.Failed() {
					return
				}
				// The table must not become full.
				if round%50 == 49 {
					if _, err := r.instance.DeleteFlows(t.Context(), ctl.FlowFilter{}, ctl.FlowDeletion{}); err != nil {
						r.Fatal(err)
					}
				}
			}
		})},
	}})
}

// raceOnce opens and closes a connection, each packet beside another.
func (r *run) raceOnce(round int) {
	r.Helper()
	from := client.at(1024 + round)
	asks := func(b body) racing { return racing{ingress, between(from, host.at(80), b)} }
	flow := func() (found xfwd.Flow, flows int) {
		err := r.set.Flows(func(f xfwd.Flow) bool {
			if int(f.Client.Source.Port()) == from.port {
				found, flows = f, flows+1
			}
			return true
		})
		if err != nil {
			r.Fatal(err)
		}
		return found, flows
	}

	outs := r.together(asks(syn(1000)), asks(syn(1000)))
	if string(outs[0].frame) != string(outs[1].frame) {
		r.Errorf("round %d: the same packet becomes % x on one processor, % x on the other", round, outs[0].frame, outs[1].frame)
	}
	opened, flows := flow()
	if flows != 1 {
		r.Fatalf("round %d: a client that comes twice at once has %d flows", round, flows)
	}
	answers := func(b body) racing {
		return racing{egress, between(host.at(int(opened.Target.Destination.Port())), from, b)}
	}
	r.together(answers(synAck(5000, 1001)), answers(synAck(5000, 1001)))
	r.together(asks(ack(1001, 5001)), asks(data(1001, 5001, "hello")))
	if f, _ := flow(); !f.Established {
		r.Fatalf("round %d: it is not established: %+v", round, f)
	}
	r.together(asks(fin(1006, 5001)), answers(fin(5001, 1006)))
	r.together(asks(ack(1007, 5002)), answers(ack(5002, 1007)))
	if f, _ := flow(); f.Established || !f.Closed() {
		r.Fatalf("round %d: both ends have closed it, and it is %+v", round, f)
	}
	r.checkPairs()
	r.checkEntries()
}
