// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// A long transaction goes through changes of backends and the drain of its own,
// while others are served by the other server; it ends well, and then the drained
// backend is empty.
func TestPostgresTransactionThroughDrain(t *testing.T) {
	t.Parallel()
	lab.Need(t, "psql")
	f := newSilentFleet(t, 2)
	startPostgres(t, f.pods)
	f.publish(t, "5432", f.backends("", 0, 1), "--balance", "round-robin")
	for family, host := range f.HostAddr.All() {
		within(t, f.Network, family, func(t *testing.T) {
			session := psqlSession{f.converse(t, "psql", psqlWords(host, 5432)...)}
			session.say(t, "CREATE TABLE IF NOT EXISTS entries (number int);")
			session.say(t, "BEGIN;")
			session.say(t, "INSERT INTO entries VALUES (1);")
			its := netip.MustParseAddr(session.ask(t, "SELECT host(inet_server_addr());"))
			own := f.index(t, its)
			other := 1 - own

			f.change(t, "drain", "5432", f.backends("", own)...)
			session.say(t, "INSERT INTO entries SELECT generate_series(2, 10000);")
			for range 4 {
				if got := f.psql(host, "SELECT host(inet_server_addr());"); got != f.pods[other].Addr.Of(host).String() {
					t.Errorf("a new client got server %s, want %v", got, f.pods[other].Addr.Of(host))
				}
			}
			word := at(its, fleetPort).String()
			f.awaitShown(t, "5432", word, "1", "left")
			f.change(t, "set", "5432", f.backends(",weight=5", other)...)
			// A megabyte in each direction.
			if got := session.ask(t, "SELECT length('"+strings.Repeat("x", 1_000_000)+"');"); got != "1000000" {
				t.Errorf("a long question was understood as one of %s", got)
			}
			if got := session.ask(t, "SELECT repeat('y', 1000000);"); got != strings.Repeat("y", 1_000_000) {
				t.Errorf("a long answer came as %d bytes", len(got))
			}
			f.change(t, "del", "5432", f.backends("", own)...)
			if got := session.ask(t, "SELECT count(*) FROM entries;"); got != "10000" {
				t.Errorf("the transaction sees %s entries, want 10000", got)
			}
			session.say(t, "COMMIT;")
			f.change(t, "add", "5432", f.backends("", own)...)
			f.change(t, "drain", "5432", f.backends("", own)...)
			session.end(t)
			f.awaitShown(t, "5432", word, "drained")
			f.change(t, "set", "5432", f.backends(",weight=1", 0, 1)...)
			// What was committed is there, and on that server only.
			count := f.Host.Run("psql", append(psqlWords(its, fleetPort), "-c", "SELECT count(*) FROM entries;")...)
			if strings.TrimSpace(count) != "10000" {
				t.Errorf("%s entries were committed, want 10000", count)
			}
			f.Host.Run("psql", append(psqlWords(its, fleetPort), "-c", "DROP TABLE entries;")...)
		})
	}
}

// psqlWords make psql print answers alone, and end at the first error.
func psqlWords(host netip.Addr, port int) []string {
	return []string{"-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", host.String(), "-p", strconv.Itoa(port), "postgres"}
}

// psql asks a question through the forward in a session of its own.
func (f *fleet) psql(host netip.Addr, question string) string {
	return strings.TrimSpace(f.Client.Run("psql", append(psqlWords(host, 5432), "-c", question)...))
}

// psqlSession is a psql that keeps its connection.
type psqlSession struct{ *dialogue }

// ask runs a statement and returns what it answers.
func (s psqlSession) ask(t *testing.T, statement string) string {
	t.Helper()
	const mark = "that is all\n"
	return strings.TrimSuffix(s.dialogue.ask(t, statement+"\n\\echo "+mark, mark), "\n")
}

// say runs a statement that answers nothing.
func (s psqlSession) say(t *testing.T, statement string) {
	t.Helper()
	if answer := s.ask(t, statement); answer != "" {
		t.Errorf("%s answered %q", statement, answer)
	}
}

// startPostgres starts a server in each pod at fleetPort, which trusts everybody.
// PostgreSQL does not run as root.
func startPostgres(t *testing.T, pods []lab.Pod) {
	t.Helper()
	// A name that is swept away if this process is killed.
	dir, err := os.MkdirTemp("", fmt.Sprintf("xfwd-%d-postgres-", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	data := func(i int) string { return filepath.Join(dir, strconv.Itoa(i)) }
	server := func(program string, args ...string) *exec.Cmd {
		command := exec.Command(postgresProgram(t, program), args...)
		command.Dir = dir
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		return command
	}
	initdb := server("initdb", "-D", data(0), "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8")
	if output, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", initdb, err, output)
	}
	trust := "host all all all trust\n"
	if err := os.WriteFile(filepath.Join(data(0), "pg_hba.conf"), []byte(trust), 0o600); err != nil {
		t.Fatal(err)
	}
	// Copies are made before the first server runs.
	for i := range pods[1:] {
		copying := exec.Command("cp", "-a", data(0), data(i+1))
		if output, err := copying.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", copying, err, output)
		}
	}
	for i, pod := range pods {
		process := pod.StartCommand(server("postgres", "-D", data(i), "-p", strconv.Itoa(fleetPort), "-h", "*",
			"-k", data(i), "-c", "fsync=off", "-c", "shared_buffers=16MB"))
		awaitListener(t, pod.Namespace, fleetPort, process)
	}
}

// awaitListener waits until a program that was started listens.
func awaitListener(t *testing.T, in *lab.Namespace, port uint16, program *lab.Process) {
	t.Helper()
	lab.Eventually(t, 3*lab.Patience, func() error {
		if !program.Running() {
			t.Fatalf("%s ended: %s%s", program.Cmd, &program.Stdout, &program.Stderr)
		}
		conn, err := in.Dial("tcp", at(netip.IPv6Loopback(), port), anyPort)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// postgresProgram finds a program of the server, which Debian keeps out of PATH.
func postgresProgram(t *testing.T, name string) string {
	t.Helper()
	if file, err := exec.LookPath(name); err == nil {
		return file
	}
	files, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(files) == 0 {
		t.Fatalf("this test needs PostgreSQL's %s", name)
	}
	return files[len(files)-1]
}
