// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"time"

	"github.com/xfwd/xfwd/test/bench/load"
)

// A process whose first argument is one of these is an end of the traffic, and
// not the benchmark itself.
const (
	roleClient = "load-client"
	roleServer = "load-server"
)

// sampler has both ends of the traffic of one site.
type sampler struct {
	site           *site
	client, server *process
	jobs           *json.Encoder
	results        *json.Decoder
	softirqd       []int
}

// sample is what some work took.
type sample struct {
	// cpu is the processor time of everything together, softirqd the part of it
	// that the kernel's softirq threads used.
	cpu, softirqd time.Duration
	wall          time.Duration
}

// newSampler starts a client for a server that runs.
func newSampler(s *site, server *process, p placement) *sampler {
	m := &sampler{site: s, server: server, softirqd: p.softirqd}
	command := end(roleClient)
	jobs, err := command.StdinPipe()
	if err != nil {
		s.tb.Fatalf("%v", err)
	}
	results, err := command.StdoutPipe()
	if err != nil {
		s.tb.Fatalf("%v", err)
	}
	m.client = spawn(s.tb, s.client, p.client, command)
	m.jobs, m.results = json.NewEncoder(jobs), json.NewDecoder(results)
	return m
}

// end is the command line of an end of the traffic: this program, in another
// role.
func end(args ...string) *exec.Cmd {
	command := exec.Command("/proc/self/exe", args...)
	command.Env = append(os.Environ(), load.Environ...)
	return command
}

// interrupt makes take fail, now or when it is called.
func (m *sampler) interrupt() {
	_ = m.client.command.Process.Kill() // it may have ended
}

// take does one workload through a peer that is not there before or after.
func (m *sampler) take(w workload, p peer, l lane) sample {
	target := p.target(l)
	m.site.speak(target)
	forwarder := p.start(l)
	clocks := append([]int{m.client.pid(), m.server.pid()}, forwarder.pids...)
	job := load.Job{
		Kind:   w.kind,
		Target: target.to,
		Warmup: w.units / 10,
		Units:  w.units,
		Clocks: append(clocks, m.softirqd...),
	}
	var result load.Result
	if err := m.jobs.Encode(job); err != nil {
		m.site.tb.Fatalf("asking the client for %s: %v", w.title, err)
	}
	if err := m.results.Decode(&result); err != nil {
		m.site.tb.Fatalf("waiting for the client's %s: %v", w.title, err)
	}
	if result.Error != "" {
		m.site.tb.Fatalf("%s, %s: %s", w.title, p.name(), result.Error)
	}
	forwarder.stop()
	s := sample{wall: result.Wall}
	for i, t := range result.CPU {
		s.cpu += t
		if i >= len(clocks) {
			s.softirqd += t
		}
	}
	return s
}
