// SPDX-License-Identifier: Apache-2.0

package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Kind names a sort of traffic.
type Kind string

// The kinds of traffic, and their units.
const (
	// Upload sends one stream of bytes to the server; a unit is a MiB.
	Upload Kind = "upload"
	// Download takes one stream of bytes from the server; a unit is a MiB.
	Download Kind = "download"
	// KeepAlive makes HTTP requests over connections that stay open; a unit
	// is a request with its answer of a few hundred bytes.
	KeepAlive Kind = "keep-alive"
	// Connection connects, makes one request and reads to the end, which the
	// server sets; a unit is all of that.
	Connection Kind = "connection"
	// Datagram sends small datagrams that the server echoes, one system call
	// a packet; a unit is a packet of either direction.
	Datagram Kind = "datagram"
)

// parallel is how many connections or sockets the kinds other than the bulk
// transfers use at a time.
const parallel = 32

// Job is one sample to take.
type Job struct {
	Kind   Kind           `json:"kind"`
	Target netip.AddrPort `json:"target"`
	// Warmup units go before those that are measured, over the same
	// connections.
	Warmup int `json:"warmup"`
	Units  int `json:"units"`
	// Clocks are the processes whose CPUTime is read before and after.
	Clocks []int `json:"clocks"`
}

// Result answers a Job.
type Result struct {
	// CPU is what each of Job.Clocks used for the units.
	CPU  []time.Duration `json:"cpu"`
	Wall time.Duration   `json:"wall"`
	// Error is empty when all units were done.
	Error string `json:"error,omitempty"`
}

// traffic is one kind, connected to one server.
type traffic interface {
	// do completes that many units before it returns.
	do(units int) error
	close()
}

// Client takes a Job a line as JSON from in and answers each with a Result on
// out, until in ends.
func Client(in io.Reader, out io.Writer) error {
	settle()
	jobs, results := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var job Job
		if err := jobs.Decode(&job); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading a job: %w", err)
		}
		result, err := job.run()
		if err != nil {
			result.Error = err.Error()
		}
		if err := results.Encode(result); err != nil {
			return fmt.Errorf("writing a result: %w", err)
		}
	}
}

func (j Job) run() (Result, error) {
	t, err := j.open()
	if err != nil {
		return Result{}, err
	}
	defer t.close()
	if err := t.do(j.Warmup); err != nil {
		return Result{}, fmt.Errorf("warming up: %w", err)
	}
	before, err := cpuTimes(j.Clocks)
	if err != nil {
		return Result{}, err
	}
	start := time.Now()
	if err := t.do(j.Units); err != nil {
		return Result{}, err
	}
	wall := time.Since(start)
	cpu, err := cpuTimes(j.Clocks)
	for i := range cpu {
		cpu[i] -= before[i]
	}
	return Result{CPU: cpu, Wall: wall}, err
}

func (j Job) open() (traffic, error) {
	switch j.Kind {
	case Upload:
		return openBulk(j.Target, (*bulk).upload)
	case Download:
		return openBulk(j.Target, (*bulk).download)
	case KeepAlive:
		return openKeepAlive(j.Target)
	case Connection:
		return openConnections(j.Target)
	case Datagram:
		return openDatagrams(j.Target)
	}
	return nil, fmt.Errorf("no traffic of kind %q", j.Kind)
}

// Probe connects once, and says whether that worked.
func Probe(target netip.AddrPort) error {
	fd, err := dial(target, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	closeFD(fd)
	return nil
}
