// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// mirror returns the Debian mirror of this machine: what DEBIAN_MIRROR says, that of its
// own suite, or on another distribution the one that debootstrap takes. It fails if nobody
// could tell what Debian has signed.
func mirror(ctx context.Context) (string, error) {
	if _, err := os.Stat(keyring); err != nil {
		return "", fmt.Errorf("%w: install the package debian-archive-keyring", err)
	}
	if m := os.Getenv("DEBIAN_MIRROR"); m != "" {
		return m, nil
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(string(release), "\nVERSION_CODENAME=")
	codename, _, _ := strings.Cut(rest, "\n")
	targets, err := exec.CommandContext(ctx, "apt-get", "indextargets",
		"--format", "$(REPO_URI) $(RELEASE) $(ORIGIN)", "Created-By: Packages").Output()
	if err != nil {
		return "", fmt.Errorf("ask apt for its mirrors: %w", err)
	}
	for line := range strings.Lines(string(targets)) {
		if f := strings.Fields(line); len(f) == 3 && f[1] == codename && f[2] == "Debian" {
			return f[0], nil
		}
	}
	script, err := os.ReadFile(debootstrap)
	if err == nil {
		if m := usualMirror(script); m != "" {
			return m, nil
		}
	}
	return "", fmt.Errorf("neither apt nor debootstrap knows a Debian mirror: set DEBIAN_MIRROR to the address of one")
}

// debootstrap makes Debian systems also on other distributions.
const debootstrap = "/usr/sbin/debootstrap"

// usualMirror is the one that debootstrap's script says, if it is Debian's.
func usualMirror(script []byte) string {
	match := regexp.MustCompile(`(?m)^DEF_MIRROR="([^"]*/debian)"$`).FindSubmatch(script)
	if match == nil {
		return ""
	}
	return string(match[1])
}

// apt is an apt that knows some suites of the Debian archive and nothing of this
// machine: neither its sources nor what is installed. It changes only files of
// its own directory, and accepts only what Debian has signed.
type apt struct{ dir string }

// newAPT makes an apt in an empty directory and reads the suites' lists.
func newAPT(ctx context.Context, dir, mirror string, suites ...string) (apt, error) {
	a := apt{dir}
	for _, sub := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return a, err
		}
	}
	var sources strings.Builder
	for _, suite := range suites {
		fmt.Fprintf(&sources, "deb [arch=amd64 signed-by=%s] %s %s main\n", keyring, mirror, suite)
	}
	if err := os.WriteFile(filepath.Join(dir, "sources.list"), []byte(sources.String()), 0o644); err != nil {
		return a, err
	}
	if err := os.WriteFile(filepath.Join(dir, "status"), nil, 0o644); err != nil {
		return a, err
	}
	_, err := a.run(ctx, "apt-get", "update")
	return a, err
}

// run runs one of apt's commands in the apt's directory and returns its output.
func (a apt) run(ctx context.Context, program string, args ...string) (string, error) {
	options := []string{
		"-qq",
		"-o", "APT::Architecture=amd64",
		"-o", "APT::Install-Recommends=false",
		"-o", "Acquire::Languages=none",
		"-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"-o", "Acquire::Retries=3",
		// A user of apt's own may not enter the directory.
		"-o", "APT::Sandbox::User=",
		"-o", "Dir::Cache=" + a.dir,
		"-o", "Dir::Etc::preferences=/dev/null",
		"-o", "Dir::Etc::preferencesparts=/dev/null",
		"-o", "Dir::Etc::sourcelist=" + filepath.Join(a.dir, "sources.list"),
		"-o", "Dir::Etc::sourceparts=/dev/null",
		"-o", "Dir::State=" + a.dir,
		"-o", "Dir::State::status=" + filepath.Join(a.dir, "status"),
	}
	command := exec.CommandContext(ctx, program, append(options, args...)...)
	command.Dir = filepath.Join(a.dir, "archives")
	return output(command)
}

// download fetches packages without those they depend on.
func (a apt) download(ctx context.Context, packages []string) error {
	_, err := a.run(ctx, "apt-get", append([]string{"download"}, packages...)...)
	return err
}

// downloadAll fetches packages from a suite, and all that they depend on from
// whichever has it.
func (a apt) downloadAll(ctx context.Context, suite string, packages ...string) error {
	args := []string{"install", "--yes", "--download-only", "--target-release=" + suite}
	_, err := a.run(ctx, "apt-get", append(args, packages...)...)
	return err
}

// unpack puts the contents of everything that was fetched into a directory.
func (a apt) unpack(ctx context.Context, into string) error {
	files, err := filepath.Glob(filepath.Join(a.dir, "archives", "*.deb"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("apt has fetched nothing to %s", a.dir)
	}
	for _, file := range files {
		if _, err := output(exec.CommandContext(ctx, "dpkg-deb", "--extract", file, into)); err != nil {
			return err
		}
	}
	return nil
}

// output runs a command and returns what it prints; the error has what it
// complains of.
func output(command *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", command, err, &stdout, &stderr)
	}
	return stdout.String(), nil
}
