// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Terminal is a real terminal with a shell in it, such as a user has at the other end
// of an SSH connection. It is one of tmux.
type Terminal struct {
	lab *Lab
	// socket is where the server of this terminal alone listens.
	socket string
}

// Terminal opens a terminal of that size. The end of the test closes it.
func (l *Lab) Terminal(width, height int) *Terminal {
	l.tb.Helper()
	Need(l.tb, "tmux")
	dir, err := os.MkdirTemp("", l.id+"-")
	if err != nil {
		l.tb.Fatalf("%v", err)
	}
	t := &Terminal{lab: l, socket: filepath.Join(dir, "tmux")}
	l.tb.Cleanup(func() {
		if l.tb.Failed() {
			l.tb.Logf("the terminal shows:\n%s", t.Screen())
		}
		if output, err := t.command("kill-server").CombinedOutput(); err != nil {
			l.tb.Errorf("closing the terminal: %v: %s", err, output)
		}
		os.RemoveAll(dir)
	})
	t.tmux("-f", "/dev/null", "new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height), "env PS1='$ ' sh")
	return t
}

func (t *Terminal) command(args ...string) *exec.Cmd {
	command := exec.Command("tmux", append([]string{"-u", "-S", t.socket}, args...)...)
	// A test may itself run inside of tmux.
	command.Env = append(os.Environ(), "TMUX=", "LC_ALL=C.UTF-8")
	return command
}

func (t *Terminal) tmux(args ...string) string {
	t.lab.tb.Helper()
	output, err := t.command(args...).CombinedOutput()
	if err != nil {
		t.lab.tb.Fatalf("tmux %s: %v: %s", strings.Join(args, " "), err, output)
	}
	return string(output)
}

// Press presses keys by the names that tmux has for them: a character, Enter, Escape,
// C-c.
func (t *Terminal) Press(keys ...string) {
	t.lab.tb.Helper()
	t.tmux(append([]string{"send-keys", "--"}, keys...)...)
}

// Run writes a command line to the shell.
func (t *Terminal) Run(line string) {
	t.lab.tb.Helper()
	t.tmux("send-keys", "-l", "--", line)
	t.Press("Enter")
}

// Resize gives the terminal another size.
func (t *Terminal) Resize(width, height int) {
	t.lab.tb.Helper()
	t.tmux("resize-window", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height))
}

// Screen is what the terminal shows, line by line.
func (t *Terminal) Screen() string { return t.tmux("capture-pane", "-p") }

// Styled is Screen with the escape sequences that make it look as it does.
func (t *Terminal) Styled() string { return t.tmux("capture-pane", "-p", "-e") }

// Await waits until the terminal shows what is wanted, or fails the test.
func (t *Terminal) Await(what string, shows func(screen string) bool) string {
	t.lab.tb.Helper()
	var screen string
	Eventually(t.lab.tb, 30*time.Second, func() error {
		if screen = t.Screen(); !shows(screen) {
			return fmt.Errorf("the terminal does not show %s:\n%s", what, screen)
		}
		return nil
	})
	return screen
}

// Child is the process id of what the shell runs.
func (t *Terminal) Child() int {
	t.lab.tb.Helper()
	shell := strings.TrimSpace(t.tmux("display-message", "-p", "#{pane_pid}"))
	children, err := os.ReadFile(fmt.Sprintf("/proc/%s/task/%s/children", shell, shell))
	if err != nil {
		t.lab.tb.Fatalf("%v", err)
	}
	var pid int
	if _, err := fmt.Sscan(string(children), &pid); err != nil {
		t.lab.tb.Fatalf("the shell runs nothing: %v", err)
	}
	return pid
}
