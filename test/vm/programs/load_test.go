// SPDX-License-Identifier: Apache-2.0

// Package programs tests that the kernel accepts the BPF programs.
package programs

import (
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/rlimit"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/test/vm/record"
)

// limit is how many instructions a verifier may look at, on its way through
// every branch of a program. It gives up after a million; what is left is for
// kernels that we do not test.
const limit = 150_000

// growth is by how many per cent a program may surpass its record. Releases of
// kernels differ by up to 15.
const growth = 20

// framesInFragments is Linux 5.18 as the kernel's KERNEL_VERSION has it.
const framesInFragments = 5<<16 | 18<<8

// verifierLines is how much of a verifier's complaint is worth reading.
const verifierLines = 60

// Each program loads, by itself, and with room to spare.
func TestPrograms(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("loading programs needs root: run this as root")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	spec, err := bpf.LoadXfwd()
	if err != nil {
		t.Fatal(err)
	}
	maps, err := ebpf.NewCollection(&ebpf.CollectionSpec{Maps: spec.Maps, Types: spec.Types, ByteOrder: spec.ByteOrder})
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	version, err := features.LinuxVersionCode()
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := record.Read(record.File)
	if err != nil {
		t.Fatal(err)
	}
	for name := range spec.Programs {
		t.Run(name, func(t *testing.T) {
			if strings.HasSuffix(name, "_frags") && version < framesInFragments {
				t.Skip("the kernel has no XDP on frames in several buffers (Linux 5.18 does)")
			}
			load := func(level ebpf.LogLevel) (*ebpf.Collection, error) {
				one := spec.Copy()
				one.Programs = map[string]*ebpf.ProgramSpec{name: one.Programs[name]}
				return ebpf.NewCollectionWithOptions(one, ebpf.CollectionOptions{
					MapReplacements: maps.Maps,
					Programs:        ebpf.ProgramOptions{LogLevel: level},
				})
			}
			collection, err := load(ebpf.LogLevelStats)
			if err != nil {
				_, err = load(ebpf.LogLevelBranch)
				t.Fatal(complaint(err))
			}
			defer collection.Close()
			count := verified(t, collection.Programs[name].VerifierLog)
			t.Log(record.Line(count))
			if budget := budgetOf(t, recorded, name); count > budget {
				t.Errorf("the verifier looks at %d instructions; the budget is %d. "+
					"If that is right, `make record`", count, budget)
			}
		})
	}
}

// budgetOf is how many instructions of a program this kernel's verifier may look at.
func budgetOf(t *testing.T, recorded record.Counts, program string) int {
	t.Helper()
	kernel := os.Getenv("XFWD_VM")
	if kernel == "" || os.Getenv(record.Variable) != "" {
		return limit
	}
	count, ok := recorded[program][kernel]
	if !ok {
		t.Fatalf("%s has no count for kernel %s: `make record`", record.File, kernel)
	}
	return min(limit, count+count*growth/100)
}

// complaint is the end of what the verifier has written.
func complaint(err error) string {
	var verifier *ebpf.VerifierError
	if !errors.As(err, &verifier) {
		return err.Error()
	}
	log := verifier.Log
	return verifier.Error() + "\n" + strings.Join(log[max(0, len(log)-verifierLines):], "\n")
}

var processed = regexp.MustCompile(`processed (\d+) insns`)

func verified(t *testing.T, log string) int {
	t.Helper()
	match := processed.FindStringSubmatch(log)
	if match == nil {
		t.Fatalf("the verifier does not tell how many instructions it looked at: %s", log)
	}
	count, err := strconv.Atoi(match[1])
	if err != nil {
		t.Fatal(err)
	}
	return count
}
