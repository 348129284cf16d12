// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// onRealtime runs a command where the kernel calls itself a real-time one, with the
// configuration in a directory that is seen as /boot.
const onRealtime = `set -e
dir=$1; shift
mount --bind "$dir/version" /proc/sys/kernel/version
mount --bind "$dir/osrelease" /proc/sys/kernel/osrelease
mount --bind "$dir" /boot
if [ -e /proc/config.gz ]; then mount --bind "$dir/empty" /proc/config.gz; fi
exec "$@"`

// A real-time kernel that lets packets interrupt each other on a processor is refused with one
// line, and nothing is loaded; status says it as well.
func TestRealtimeKernelWithoutTheLock(t *testing.T) {
	t.Parallel()
	lab.Need(t, "unshare", "sh", "mount")
	const release = "6.18.0-test"
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("version", "#1 SMP PREEMPT_RT")
	write("osrelease", release)
	write("empty", "")
	if os.Mkdir("/boot", 0o755) == nil {
		t.Cleanup(func() { os.Remove("/boot") })
	}
	x := lab.New(t).Direct().Host.XFWD()
	run := func(args ...string) lab.Result {
		t.Helper()
		words := append([]string{"--mount", "sh", "-c", onRealtime, "sh", dir}, x.Command(args...).Args...)
		return x.RunCommand(exec.Command("unshare", words...))
	}
	for _, test := range []struct{ config, says string }{
		{"", "put its configuration into /boot/config-" + release},
		{"# CONFIG_PREEMPT_RT_NEEDS_BH_LOCK is not set", "it has no CONFIG_PREEMPT_RT_NEEDS_BH_LOCK"},
	} {
		if test.config != "" {
			write("config-"+release, test.config)
		}
		for _, args := range [][]string{{"add", "80", "30080"}, {"add", "80", "30080", "--dry-run"}} {
			got := run(args...)
			if got.Status != 5 || strings.Count(got.Stderr, "\n") != 1 || !strings.Contains(got.Stderr, test.says) || got.Stdout != "" {
				t.Errorf("xfwd %s: exit status %d: %q %q, want %q", strings.Join(args, " "), got.Status, got.Stdout, got.Stderr, test.says)
			}
		}
		if got := run("status"); got.Status != 0 || !strings.Contains(got.Stdout, test.says) || !strings.Contains(got.Stdout, "not loaded") {
			t.Errorf("xfwd status: exit status %d: %s", got.Status, got.Stdout)
		}
	}
	if x.Status().Loaded {
		t.Error("the dataplane is loaded")
	}
	write("config-"+release, "CONFIG_PREEMPT_RT_NEEDS_BH_LOCK=y")
	if got := run("add", "80", "30080", "--max-flows", x.MaxFlows); got.Status != 0 {
		t.Errorf("with the lock: exit status %d: %s", got.Status, got.Stderr)
	}
	if got := run("status"); strings.Contains(got.Stdout, "real-time") {
		t.Errorf("with the lock: %s", got.Stdout)
	}
}
