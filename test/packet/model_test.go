// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

var (
	modelTime   = flag.Duration("model.time", usualModelTime(), "how long the programs and the model are compared, if no number of steps is given")
	modelSteps  = flag.Int("model.steps", 0, "how many steps the programs and the model are compared")
	modelSeed   = flag.Uint64("model.seed", 0, "the first seed; 0 takes one by chance")
	modelObject = flag.String("model.object", "", "an object file with the programs, in place of the real ones")
)

// usualModelTime: test VMs, of which one may be emulated, have other tests to run.
func usualModelTime() time.Duration {
	if os.Getenv("XFWD_VM") != "" {
		return 20 * time.Second
	}
	return time.Minute
}

// Programs and model do the same, whatever comes.
//
// go test ./test/packet -run TestModel -model.steps 10000000
func TestModel(t *testing.T) {
	t.Parallel()
	seed := *modelSeed
	if seed == 0 {
		seed = rand.Uint64() >> 16
	}
	w := newContestWorld(t, *modelObject)
	begin, lastWord := time.Now(), time.Now()
	total, stalled := 0, 0
	for ; *modelSteps > total || *modelSteps == 0 && time.Since(begin) < *modelTime; seed++ {
		c, err := newContest(t, w, seeded(seed))
		if err != nil {
			t.Fatal(err)
		}
		taken, err := c.run(contestLength)
		total += taken
		if errors.Is(err, errStalled) {
			stalled++
		} else if err != nil {
			t.Fatalf("seed %d, after %d steps and %v: %v\nto repeat: go test ./test/packet -run TestModel -model.seed %d -model.steps 1",
				seed, total, time.Since(begin).Round(time.Millisecond), err, seed)
		}
		if time.Since(lastWord) > 10*time.Second {
			lastWord = time.Now()
			t.Logf("%d steps, seed %d", total, seed)
		}
	}
	t.Logf("%d steps in %v without a difference; %d seeds were left, for the machine was busy", total, time.Since(begin).Round(time.Second), stalled)
	if total < contestLength && *modelSteps == 0 {
		t.Error("the machine was too busy for this to tell anything")
	}
}

// contestLength is how many steps a seed is good for.
const contestLength = 2000

// loaded dice roll what a seed says.
type loaded struct{ *rand.Rand }

func seeded(seed uint64) dice { return loaded{rand.New(rand.NewPCG(seed, 1))} }

func (d loaded) roll(sides int) int { return d.IntN(sides) }
func (loaded) worn() bool           { return false }
