// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// 10,000 connections at once through one forward to several backends, half of
// them over IPv6, carry a byte each way in the end, while backends came and went.
func TestTenThousandConnections(t *testing.T) {
	t.Parallel()
	const connections, backends = 10_000, 4
	moreFiles(t, connections+5_000)
	f := newSilentFleet(t, backends+1)
	for i, pod := range f.pods {
		// Each is a process of its own, because a process may not have that many files.
		server := exec.Command(os.Args[0])
		server.Env = append(os.Environ(), manyBackend+"="+strconv.Itoa(i))
		awaitListener(t, pod.Namespace, fleetPort, pod.StartCommand(server))
	}
	f.xfwd.MaxFlows = "32768"
	f.publish(t, "80", f.backends("", 0, 1, 2, 3))

	conns := make([]net.Conn, 0, connections)
	t.Cleanup(func() {
		for _, conn := range conns {
			conn.Close()
		}
	})
	for _, host := range f.HostAddr.All() {
		opened, err := f.dialMany(at(host, 80), connections/2)
		conns = append(conns, opened...)
		if err != nil {
			t.Fatalf("after %d connections: %v", len(conns), err)
		}
	}
	// The backend of each is told by its answer.
	backend := make([]byte, len(conns))
	exchange := func(visit func(i int, backend byte)) {
		t.Helper()
		// All questions are on their way before the first answer is looked at.
		for i, conn := range conns {
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := conn.Write([]byte{byte(i)}); err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
		}
		var answer [1]byte
		for i, conn := range conns {
			if _, err := io.ReadFull(conn, answer[:]); err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
			visit(i, answer[0]^byte(i))
		}
	}
	counts := [backends + 1]int{}
	exchange(func(i int, b byte) {
		if int(b) >= backends {
			t.Fatalf("connection %d was answered by backend %d", i, b)
		}
		backend[i] = b
		counts[b]++
	})
	t.Logf("backends have %v connections", counts[:backends])
	for i, count := range counts[:backends] {
		// Within a fifth of its share, more than ten standard deviations.
		if share := connections / backends; count < share*4/5 || count > share*6/5 {
			t.Errorf("backend %d has %d of %d connections", i, count, connections)
		}
	}
	if active := f.xfwd.Counters("80").Connections.Active; active != connections {
		t.Errorf("%d connections are counted as active, want %d", active, connections)
	}
	f.change(t, "add", "80", f.backends("", backends)...)
	f.change(t, "drain", "80", f.backends("", 0)...)
	f.change(t, "del", "80", f.backends("", 1)...)
	f.change(t, "set", "80", f.backends(",weight=7", 2)...)
	exchange(func(i int, b byte) {
		if b != backend[i] {
			t.Fatalf("connection %d went from backend %d to %d", i, backend[i], b)
		}
	})
}

// dialMany opens connections, several at a time, as many clients would.
func (f *fleet) dialMany(to netip.AddrPort, count int) (conns []net.Conn, failed error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	const dialers = 4
	for range dialers {
		all.Go(func() {
			for range count / dialers {
				conn, err := f.Client.Dial("tcp", to, anyPort)
				mu.Lock()
				if err == nil {
					conns = append(conns, conn)
				} else if failed == nil {
					failed = err
				}
				stop := failed != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	all.Wait()
	return conns, failed
}

// manyBackend is the environment variable that makes a process of this test
// binary a server: the number of the backend that it is.
const manyBackend = "XFWD_TEST_MANY_BACKEND"

// serveMany answers each byte with that byte, in which it puts the backend's
// number. It does not return.
func serveMany(backend string) {
	number, err := strconv.Atoi(backend)
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", fleetPort))
	if err != nil {
		panic(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer conn.Close()
			var question [1]byte
			for {
				if _, err := io.ReadFull(conn, question[:]); err != nil {
					return
				}
				conn.Write([]byte{question[0] ^ byte(number)})
			}
		}()
	}
}

// moreFiles makes sure that this process may have so many open files. It is not
// taken back, since other tests may use them by then.
func moreFiles(t *testing.T, files uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatalf("limit of files: %v", err)
	}
	if limit.Cur >= files {
		return
	}
	limit.Cur, limit.Max = files, max(limit.Max, files)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatalf("this test needs %d open files: %v", files, err)
	}
}
