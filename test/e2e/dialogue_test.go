// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// dialogue is a program that is told something and answers, again and again.
type dialogue struct {
	process *lab.Process
	input   io.WriteCloser
	heard   int
}

// converse starts a program at the client.
func (f *fleet) converse(t *testing.T, program string, args ...string) *dialogue {
	t.Helper()
	command := exec.Command(program, args...)
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return &dialogue{process: f.Client.StartCommand(command), input: input}
}

// ask says something and returns the answer up to a mark, which is left out.
func (d *dialogue) ask(t *testing.T, question, mark string) (answer string) {
	t.Helper()
	if _, err := io.WriteString(d.input, question); err != nil {
		t.Fatalf("%s: %v: %s", d.process, err, &d.process.Stderr)
	}
	lab.Eventually(t, 3*lab.Patience, func() error {
		running := d.process.Running()
		text := d.process.Stdout.String()[d.heard:]
		before, _, found := strings.Cut(text, mark)
		switch {
		case found:
			answer = before
			d.heard += len(before) + len(mark)
			return nil
		case !running:
			t.Fatalf("%s ended: %s", d.process, &d.process.Stderr)
		}
		return fmt.Errorf("heard %.100q; %s", text, &d.process.Stderr)
	})
	return answer
}

// end closes the program's input and waits until it has ended in good order.
func (d *dialogue) end(t *testing.T) {
	t.Helper()
	d.input.Close()
	if err := d.process.Wait(); err != nil {
		t.Errorf("%s: %v: %s", d.process, err, &d.process.Stderr)
	}
}
