// SPDX-License-Identifier: Apache-2.0

// Command mutants shows that the model finds what is wrong: it breaks the programs
// in one way after the other, and wants each seen within a minute.
//
//	go run ./test/mutants [-only REGEXP]
//
// It takes root, and clang as bpf/gen.go has it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// patience is how long a mutant may live.
const patience = time.Minute

func main() {
	only := flag.String("only", "", "only the mutants whose names match this `regexp`")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err == nil {
		err = run(context.Background(), pattern)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only *regexp.Regexp) error {
	dir, err := os.MkdirTemp("", "xfwd-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tests := filepath.Join(dir, "packet.test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", tests, "./test/packet").CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	var alive []string
	found := 0
	for _, m := range mutants {
		if !only.MatchString(m.name) {
			continue
		}
		object := filepath.Join(dir, "xfwd.o")
		if err := m.compile(ctx, filepath.Join(dir, "source"), object); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		begin := time.Now()
		difference, err := contest(ctx, tests, m.test(), object)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if difference == "" {
			alive = append(alive, m.name)
			fmt.Printf("ALIVE  %6.1f s  %s\n", time.Since(begin).Seconds(), m.name)
			continue
		}
		found++
		fmt.Printf("found  %6.1f s  %s\n", time.Since(begin).Seconds(), m.name)
	}
	fmt.Printf("%d passed, %d failed\n", found, len(alive))
	if len(alive) > 0 {
		return fmt.Errorf("the model does not see: %s", strings.Join(alive, "; "))
	}
	return nil
}

// compile compiles the programs with the mutant's fault.
func (m mutant) compile(ctx context.Context, dir, object string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(dir, "bpf"), os.DirFS("bpf")); err != nil {
		return err
	}
	types, err := os.ReadFile("vmlinux.h")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "vmlinux.h"), types, 0o644); err != nil {
		return err
	}
	file := filepath.Join(dir, "bpf", m.file)
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if n := bytes.Count(source, []byte(m.right)); n != 1 {
		return fmt.Errorf("%s has %q %d times", m.file, m.right, n)
	}
	source = bytes.Replace(source, []byte(m.right), []byte(m.wrong), 1)
	if err := os.WriteFile(file, source, 0o644); err != nil {
		return err
	}
	clang := exec.CommandContext(ctx, "clang-19", "-O2", "-g", "-mcpu=v3", "-target", "bpfel", "-c", "xfwd.c", "-o", object)
	clang.Dir = filepath.Join(dir, "bpf")
	if out, err := clang.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// test is the one that compares with the model what the mutant's fault is about.
func (m mutant) test() string {
	if m.file == "connect.h" || m.file == "socket.h" {
		return "TestOwnModel"
	}
	return "TestModel"
}

// contest compares the programs of an object with the model, and returns the
// difference that it has found, if any.
func contest(ctx context.Context, tests, test, object string) (difference string, err error) {
	command := exec.CommandContext(ctx, tests, "-test.run=^"+test+"$",
		"-model.object="+object, "-model.time="+patience.String(), "-model.seed=1")
	command.Dir = "test/packet"
	out, err := command.CombinedOutput()
	if err == nil {
		return "", nil
	}
	var exit *exec.ExitError
	// Anything else that goes wrong is no difference, such as a verifier that
	// refuses the mutant.
	if at := bytes.Index(out, []byte("seed ")); errors.As(err, &exit) && at >= 0 && bytes.Contains(out, []byte("to repeat: ")) {
		return string(out[at:]), nil
	}
	return "", fmt.Errorf("%w\n%s", err, out)
}
