// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// FuzzModel is TestModel with dice that Go's fuzzer makes.
func FuzzModel(f *testing.F) {
	w := newContestWorld(f, *modelObject)
	for seed := range uint64(4) {
		source := rand.New(rand.NewPCG(seed, 2))
		bytes := make([]byte, 2000)
		for i := range bytes {
			bytes[i] = byte(source.Uint32())
		}
		f.Add(bytes)
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		c, err := newContest(t, w, &written{bytes})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.run(contestLength); err != nil && !errors.Is(err, errStalled) {
			t.Fatal(err)
		}
	})
}

// written dice roll what bytes say: each number takes one, or two if it has more
// than 256 sides.
type written struct{ bytes []byte }

func (d *written) roll(sides int) int {
	number := 0
	for left := sides - 1; left > 0 && len(d.bytes) > 0; left >>= 8 {
		number = number<<8 | int(d.bytes[0])
		d.bytes = d.bytes[1:]
	}
	return number % sides
}

func (d *written) worn() bool { return len(d.bytes) == 0 }
