// SPDX-License-Identifier: Apache-2.0

package packet

import "testing"

// budget is how many instructions the verifier may have to follow in one program.
// Kernels take a million; each release of one follows others.
const budget = 150_000

func TestInstructionBudget(t *testing.T) {
	t.Parallel()
	programs := borrowWorld(t).load(t, loadSpec(t)).Programs
	for name, p := range programs {
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		verified, known := info.VerifiedInstructions()
		if !known {
			t.Skip("the kernel does not tell (Linux 5.16 does)")
		}
		t.Logf("%s: %d", name, verified)
		if verified == 0 || verified > budget {
			t.Errorf("%s: the verifier followed %d instructions, at most %d are wanted", name, verified, budget)
		}
	}
}
