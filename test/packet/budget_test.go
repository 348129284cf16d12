// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
)

// budget is how many instructions the verifier may have to follow in one program.
// Kernels take a million; each release of one follows others.
const budget = 150_000

func TestInstructionBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pins, err := filepath.Glob(filepath.Join(w.pins, "programs", "*"))
	if err != nil || len(pins) == 0 {
		t.Fatalf("no programs are pinned (%v)", err)
	}
	for _, pin := range pins {
		p, err := ebpf.LoadPinnedProgram(pin, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		verified, known := info.VerifiedInstructions()
		if !known {
			t.Skip("the kernel does not tell (Linux 5.16 does)")
		}
		t.Logf("%s: %d", filepath.Base(pin), verified)
		if verified == 0 || verified > budget {
			t.Errorf("%s: the verifier followed %d instructions, at most %d are wanted", filepath.Base(pin), verified, budget)
		}
	}
}
