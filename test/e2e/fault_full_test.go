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

	"github.com/xfwd/xfwd/test/lab"
)

// mostForwards is how many forwards there can be.
const mostForwards = 16383

// forwardsFile writes a file of as many forwards to port 30080 as are asked for.
func forwardsFile(t *testing.T, count int, frontend func(i int) string) string {
	t.Helper()
	var content strings.Builder
	content.WriteString("apiVersion: xfwd/v1\nforwards:\n")
	for i := range count {
		fmt.Fprintf(&content, "  - {frontend: %q, backends: [30080]}\n", frontend(i))
	}
	file := filepath.Join(t.TempDir(), "forwards.yaml")
	if err := os.WriteFile(file, []byte(content.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// One forward more than there is room for is refused, alone and in a file; nothing
// changes for those that are there, and one that goes makes room for another.
func TestFaultForwardsFull(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	load := keepTalking(net, 80)
	load.mustGoOn(t, soon)
	port := func(i int) string { return fmt.Sprint(40000 + i) }
	refused := func(args ...string) {
		t.Helper()
		mustFail(t, x.Run(args...), 5, "too many", fmt.Sprintf("at most %d", mostForwards))
		load.mustGoOn(t, soon)
		if _, err := net.Client.Connect("tcp", at(net.HostAddr.V4, 81), anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("port 81, for which there is no room: %v", err)
		}
	}
	tooMany := forwardsFile(t, mostForwards-1, func(i int) string {
		if i == 0 {
			return "81"
		}
		return port(i)
	})
	x.Do("apply", "-f", forwardsFile(t, mostForwards-2, port))
	refused("add", "81", "30080")
	refused("apply", "-f", tooMany)
	if forwards := x.Status().Forwards; forwards != mostForwards {
		t.Errorf("there are %d forwards, want %d", forwards, mostForwards)
	}
	mustBeFine(t, x)
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 40000)))
	x.Do("del", port(7))
	x.Add("81", "30080")
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 81)))
	load.mustGoOn(t, soon)
}

// Ranges that the map of them has no room for are refused all together, though it has
// taken some of them already.
func TestFaultRangesFull(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	load := keepTalking(net, 80)
	load.mustGoOn(t, soon)
	// Each takes 30 of 131072 entries.
	file := forwardsFile(t, 4500, func(i int) string {
		address := net.HostAddr.V4
		if i > 0 {
			address = netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
		}
		return frontend(address, "1-65534")
	})
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(content), "[30080]", `["1-65534"]`)), 0o600); err != nil {
		t.Fatal(err)
	}
	result := x.Run("apply", "-f", file)
	result.Stdout = result.Stdout[:min(len(result.Stdout), 80)] // else it is long
	mustFail(t, result, 1, "frontend_ranges", "is full", "131072")
	if forwards := x.Status().Forwards; forwards != 2 {
		t.Errorf("there are %d forwards, want 2", forwards)
	}
	if _, err := net.Client.Connect("tcp", at(net.HostAddr.V4, 81), anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a port of a range for which there is no room: %v", err)
	}
	load.mustGoOn(t, soon)
	x.Add("9000-9010", "30080-30090")
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 9000)))
	load.mustGoOn(t, soon)
	mustBeFine(t, x)
}
