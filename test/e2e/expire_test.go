// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xfwd/xfwd/test/lab"
)

// tick is more than the clock of the programs is behind.
const tick = 50 * time.Millisecond

// endOf returns when the first forward expires.
func endOf(t *testing.T, x *lab.XFWD) time.Time {
	t.Helper()
	end := x.List()[0].ExpiresAt
	if end == nil {
		t.Fatal("the forward does not expire")
	}
	return *end
}

// mustServe fails the test unless new flows of the client and of the host itself are served.
func mustServe(t *testing.T, net *lab.Network, to netip.AddrPort) {
	t.Helper()
	for _, network := range networks {
		mustEcho(t, net.Client.MustConnect(network, to))
		mustEcho(t, net.Host.MustConnect(network, to))
	}
}

// At its moment a forward refuses new flows, of the host itself too, though nothing runs;
// established TCP lives on. Nobody is told of it any more, and who wants its frontend has
// it.
func TestExpire(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
		net.Host.Echo(network, ":30081")
	}
	x := net.Host.XFWD()
	x.Add("81", "30080")
	x.Add("80/tcp+udp", "30080", "--name", "web", "--expires", "6s")
	end := endOf(t, x)
	var tcp, udp []*lab.Conn
	for _, host := range net.HostAddr.All() {
		for _, client := range []*lab.Namespace{net.Client, net.Host} {
			tcp = append(tcp, client.MustConnect("tcp", at(host, 80)))
		}
		udp = append(udp, net.Client.MustConnect("udp", at(host, 80)))
	}
	for time.Until(end) > time.Second {
		for _, host := range net.HostAddr.All() {
			mustServe(t, net, at(host, 80))
		}
		time.Sleep(tick) // each connection is a file until the test ends
	}
	time.Sleep(time.Until(end) + tick)
	mustBeOver := func() {
		t.Helper()
		for _, host := range net.HostAddr.All() {
			for _, network := range networks {
				mustRefuse(t, net.Client, network, at(host, 80))
				mustRefuse(t, net.Host, network, at(host, 80))
			}
		}
		for _, conn := range tcp {
			mustEcho(t, conn)
		}
	}
	mustBeOver()
	if difference := cmp.Diff([]string{"81/tcp"}, frontends(x)); difference != "" {
		t.Errorf("want (-), got (+):\n%s", difference)
	}
	for _, command := range []string{"show", "stats", "del", "flows"} {
		mustFail(t, x.Run(command, "web"), 4, `no forward is named "web"`)
	}
	if got := x.Status().Forwards; got != 1 {
		t.Errorf("status counts %d forwards", got)
	}
	lives := 0
	for _, flow := range x.Flows() {
		if flow.Name == "web" && flow.State == "established" {
			lives++
		}
	}
	if lives < 2 {
		t.Errorf("%d flows live on", lives)
	}

	added := x.Add("80/tcp+udp", "30081", "--name", "web")
	for _, protocol := range networks {
		if want := "added 80/" + protocol + " -> this host:30081\n"; !strings.Contains(added.Stdout, want) {
			t.Errorf("standard output lacks %q: %q", want, added.Stdout)
		}
		if want := "note: 80/" + protocol + " -> this host:30080 has expired\n"; !strings.Contains(added.Stderr, want) {
			t.Errorf("standard error lacks %q: %q", want, added.Stderr)
		}
	}
	if got := x.Add("80/tcp+udp", "30081", "--name", "web").Stderr; got != "" {
		t.Errorf("what was deleted is told again: %q", got)
	}
	for _, host := range net.HostAddr.All() {
		mustServe(t, net, at(host, 80))
	}
	for _, conn := range tcp {
		mustEcho(t, conn)
	}
	x.Do("del", "web")
	mustBeOver()
	for _, conn := range udp {
		if err := conn.Echo([]byte("still there?")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a UDP flow after the deletion: %v, want a refusal", err)
		}
	}
}

// A forward that is added again before it ends does so later, or never; its connections
// and counters stay.
func TestExpireIsRenewed(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080", "--expires", "5s")
	end := endOf(t, x)
	conn := net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80))
	mustEcho(t, conn)
	if got := x.Add("80/tcp+udp", "30080", "--expires", "1h").Stdout; !strings.HasPrefix(got, "changed 80/tcp: expires ") {
		t.Errorf("a renewal is told as %q", got)
	}
	if later := endOf(t, x); later.Sub(end) < 50*time.Minute {
		t.Errorf("it ends at %v, and before at %v", later, end)
	}
	mustFail(t, x.Run("add", "80", "30081", "--expires", "1h"), 3, "--replace")
	time.Sleep(time.Until(end) + tick)
	mustServe(t, net, at(net.HostAddr.V4, 80))
	mustEcho(t, conn)
	for range 2 {
		if got := x.Counters("80").Connections.Opened; got != 3 {
			t.Errorf("%d connections were opened, want 3", got)
		}
		x.Add("80/tcp+udp", "30080")
	}
	if got := x.List()[0].ExpiresAt; got != nil {
		t.Errorf("it ends at %v, and should last", got)
	}
	mustEcho(t, conn)
}

// serve deletes by itself what has expired, and says so; with that UDP flows end.
func TestServeExpires(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	s := x.Serve()
	x.Add("80/udp", "30080", "--expires", "5s")
	x.Add("81", "30080")
	end := endOf(t, x)
	conn := net.Client.MustConnect("udp", at(net.HostAddr.V6, 80))
	mustEcho(t, conn) // a question with its answer alone would be over by then
	const expires = `xfwd_forward_expires_timestamp_seconds{forward="80/udp",frontend="80/udp",protocol="udp"}`
	if got := s.Metrics(); got[expires] != float64(end.Unix()) || got["xfwd_expired_total"] != 0 {
		t.Errorf("it ends at %f, and %v have ended", got[expires], got["xfwd_expired_total"])
	}
	time.Sleep(time.Until(end) + tick)
	if got := s.Metrics(); got[expires] != 0 || got["xfwd_forwards"] != 1 {
		t.Errorf("%v forwards are shown, that one ends at %f", got["xfwd_forwards"], got[expires])
	}
	lab.Eventually(t, 15*time.Second, func() error {
		time.Sleep(100 * time.Millisecond)
		if err := conn.Echo([]byte("still there?")); !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("a UDP flow after the end: %v, want a refusal", err)
		}
		return nil
	})
	lab.Eventually(t, lab.Patience, func() error {
		if got := s.Metrics()["xfwd_expired_total"]; got != 1 {
			return fmt.Errorf("%v forwards are counted, want 1", got)
		}
		return nil
	})
	want := "note: 80/udp -> this host:30080 has expired\n"
	mustReport(t, s, want)
	s.Kill()
	if s.Stderr.String() != want {
		t.Errorf("it says %q, want %q", &s.Stderr, want)
	}
}

// With --read-only, it deletes nothing.
func TestServeReadOnlyExpiresNothing(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("udp", ":30080")
	x := net.Host.XFWD()
	x.Serve("--read-only")
	x.Add("80/udp", "30080", "--expires", "5s")
	end := endOf(t, x)
	conn := net.Client.MustConnect("udp", at(net.HostAddr.V4, 80))
	mustEcho(t, conn) // a question with its answer alone would be over by then
	time.Sleep(time.Until(end) + 12*time.Second)
	mustEcho(t, conn)
}

// A file keeps the moment. What has passed it by then is left out, and that is no error.
func TestExpireOfFiles(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	file := filepath.Join(t.TempDir(), "forwards.yaml")
	write := func(moment time.Time) {
		t.Helper()
		text := fmt.Sprintf("apiVersion: xfwd/v1\nforwards:\n- {frontend: 80/tcp+udp, backends: [30080], expiresAt: %s}\n- {frontend: 81, backends: [30080]}\n",
			moment.Format(time.RFC3339))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	moment := time.Now().Add(time.Hour).In(time.FixedZone("", 2*3600)).Truncate(time.Second)
	write(moment)
	x.Do("restore", file, "--max-flows", x.MaxFlows)
	if end := endOf(t, x); !end.Equal(moment) || end.Location() != time.UTC {
		t.Errorf("it ends at %v, want %v", end, moment)
	}
	saved := x.List()
	x.Do("save", file)
	x.Do("unload")
	x.Do("restore", file, "--max-flows", x.MaxFlows)
	if difference := cmp.Diff(saved, x.List(), withoutCounters); difference != "" {
		t.Errorf("saved (-), restored (+):\n%s", difference)
	}
	mustServe(t, net, at(net.HostAddr.V4, 80))
	write(time.Now().Add(-time.Hour))
	for _, command := range [][]string{{"apply", "--prune", "-f", file}, {"restore", file}} {
		done := x.Do(command...)
		if want := fmt.Sprintf("note: %s:3: 80/tcp -> this host:30080 has expired\n", file); !strings.Contains(done.Stderr, want) {
			t.Errorf("standard error lacks %q: %q", want, done.Stderr)
		}
		if difference := cmp.Diff([]string{"81/tcp"}, frontends(x)); difference != "" {
			t.Errorf("want (-), got (+):\n%s", difference)
		}
	}
	mustRefuse(t, net.Client, "tcp", at(net.HostAddr.V4, 80))
}
