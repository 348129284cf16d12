// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// An ssh session, which sends each line by itself and waits for its echo, lives
// through drain, changes and deletion of its backend; new sessions go elsewhere.
func TestSSHThroughDrain(t *testing.T) {
	t.Parallel()
	lab.Need(t, "ssh", "ssh-keygen", "sshd", "mount")
	f := newSilentFleet(t, 2)
	key := startSSH(t, f.pods)
	f.publish(t, "22", f.all(), "--balance", "round-robin")
	for family, host := range f.HostAddr.All() {
		within(t, f.Network, family, func(t *testing.T) {
			// SSH_CONNECTION is client, its port, server, its port.
			server := func() netip.Addr {
				t.Helper()
				output := f.Client.Run("ssh", sshWords(key, host, "echo $SSH_CONNECTION")...)
				fields := strings.Fields(output)
				if len(fields) != 4 || fields[0] != f.ClientAddr.Of(host).String() {
					t.Fatalf("the server says its connection is %q", output)
				}
				return netip.MustParseAddr(fields[2])
			}
			session := f.converse(t, "ssh", sshWords(key, host, "echo $SSH_CONNECTION; cat")...)
			own := f.index(t, netip.MustParseAddr(strings.Fields(session.ask(t, "", "\n"))[2]))
			chat := func() {
				t.Helper()
				for i := range 20 {
					line := fmt.Sprintf("line %d %s", i, strings.Repeat("x", i))
					if got := session.ask(t, line+"\n", "\n"); got != line {
						t.Fatalf("said %q, heard %q", line, got)
					}
				}
			}
			chat()
			f.change(t, "drain", "22", f.backends("", own)...)
			for range 2 {
				if got := f.index(t, server()); got == own {
					t.Error("a new session came to the drained backend")
				}
			}
			chat()
			f.change(t, "set", "22", f.backends(",weight=9", 1-own)...)
			chat()
			f.change(t, "del", "22", f.backends("", own)...)
			chat()
			f.change(t, "add", "22", f.backends("", own)...)
			chat()
			session.end(t)
		})
	}
}

func sshWords(key string, host netip.Addr, command string) []string {
	return []string{
		"-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=3", "root@" + host.String(), command,
	}
}

// startSSH starts a server in each pod at fleetPort with keys of its own, and
// returns the key of those who may come in.
func startSSH(t *testing.T, pods []lab.Pod) (key string) {
	t.Helper()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"host", "client"} {
		output, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file(name)).CombinedOutput()
		if err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, output)
		}
	}
	config := fmt.Sprintf(`
Port %d
HostKey %s
AuthorizedKeysFile %s
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PrintMotd no
`, fleetPort, file("host"), file("client.pub"))
	if err := os.WriteFile(file("config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		// It wants a directory of its own in /run, which it gets in a mount namespace of its own.
		command := exec.Command("sh", "-c", `mount -t tmpfs none /run && mkdir /run/sshd && exec "$(command -v sshd)" -D -e -f "$1"`, "sh", file("config"))
		command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		awaitListener(t, pod.Namespace, fleetPort, pod.StartCommand(command))
	}
	return file("client")
}
