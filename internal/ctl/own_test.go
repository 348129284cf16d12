// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	kernel "github.com/xfwd/xfwd/internal/maps"
)

// ownForward is a forward with one backend each as the cases of TestStrays have
// them: alive, going with the change, or gone before.
type ownForward struct {
	line  string
	state string
}

// ownTransaction is a change from epoch 7 to 8 of these forwards.
func ownTransaction(t *testing.T, all []ownForward) *transaction {
	t.Helper()
	tx := &transaction{before: newState(7), after: newState(8)}
	for i, o := range all {
		f := forwards(t, o.line)[0]
		k := forwardToKernel(f)
		k.ID = uint32(i + 1)
		gone := kernel.BackendRole{State: kernel.BackendGone}
		info := kernel.BackendInfo{Backend: k.ID, Forward: k.ID, Changed: 8}
		switch o.state {
		case "going":
			info.After = gone
		case "gone":
			info.Before, info.After = gone, gone
		}
		b := backend{kernel.Backend{ID: k.ID, Address: f.Backends[0].Address, PortFirst: f.Backends[0].Ports.First, PortLast: f.Backends[0].Ports.Last}, info}
		for _, s := range []*state{tx.before, tx.after} {
			s.all[k.ID] = k
			s.put(b)
		}
	}
	return tx
}

func TestStrays(t *testing.T) {
	const alive, going, gone = "alive", "going", "gone"
	for _, c := range []struct {
		name     string
		forwards []ownForward
		// asked and peer are those of a socket.
		asked, peer string
		want        bool
	}{
		{"its backend goes", []ownForward{{"80 192.0.2.1:8080", going}}, "127.0.0.1:80", "192.0.2.1:8080", true},
		{"its backend stays", []ownForward{{"80 192.0.2.1:8080", alive}}, "127.0.0.1:80", "192.0.2.1:8080", false},
		{"another port", []ownForward{{"80 192.0.2.1:8080", going}}, "127.0.0.1:80", "192.0.2.1:8081", false},
		{"another address", []ownForward{{"80 192.0.2.1:8080", going}}, "127.0.0.1:80", "192.0.2.2:8080", false},
		{"another frontend", []ownForward{{"80 192.0.2.1:8080", going}}, "127.0.0.1:81", "192.0.2.1:8080", false},
		{"another address asked for", []ownForward{{"192.0.2.7:80 192.0.2.1:8080", going}}, "127.0.0.1:80", "192.0.2.1:8080", false},
		{"another protocol", []ownForward{{"80/udp 192.0.2.1:8080", going}}, "127.0.0.1:80", "192.0.2.1:8080", false},
		{"IPv6", []ownForward{{"80 [2001:db8::1]:8080", going}}, "[::1]:80", "[2001:db8::1]:8080", true},
		{"this host, any address", []ownForward{{"80 8080", going}}, "127.0.0.1:80", "192.0.2.1:8080", true},
		{"ranges", []ownForward{{"80-89 8080-8089", going}}, "127.0.0.1:83", "127.0.0.1:8083", true},
		{"behind a range", []ownForward{{"80-89 8080-8089", going}}, "127.0.0.1:83", "127.0.0.1:8090", false},
		{"of another device", []ownForward{{"80 192.0.2.1:8080 - eth0", going}}, "127.0.0.1:80", "192.0.2.1:8080", false},
		{"of loopback", []ownForward{{"80 192.0.2.1:8080 - lo", going}}, "127.0.0.1:80", "192.0.2.1:8080", true},
		{
			"another forward keeps it", []ownForward{{"80 192.0.2.1:8080", alive}, {"81 192.0.2.1:8080", going}},
			"127.0.0.1:80", "192.0.2.1:8080", false,
		},
		{
			"the forward of the address loses it", []ownForward{{"80 192.0.2.1:8080", alive}, {"192.0.2.7:80 192.0.2.1:8080", going}},
			"192.0.2.7:80", "192.0.2.1:8080", true,
		},
		{
			"the forward of the address keeps it", []ownForward{{"80 192.0.2.1:8080", going}, {"192.0.2.7:80 192.0.2.1:8080", alive}},
			"192.0.2.7:80", "192.0.2.1:8080", false,
		},
		{
			"the range loses it", []ownForward{{"80-89 192.0.2.1:8080", going}, {"80 192.0.2.1:8080", alive}},
			"127.0.0.1:80", "192.0.2.1:8080", false,
		},
		{
			"the forward of loopback loses it", []ownForward{{"80 192.0.2.1:8080", alive}, {"80 192.0.2.1:8080 - lo", going}},
			"127.0.0.1:80", "192.0.2.1:8080", true,
		},
		{
			"back again in the same forward", []ownForward{{"80 192.0.2.1:8080", going}, {"80 192.0.2.1:8080", alive}},
			"127.0.0.1:80", "192.0.2.1:8080", false,
		},
		{
			"what went earlier does not count", []ownForward{{"80 192.0.2.1:8080", alive}, {"192.0.2.7:80 192.0.2.1:8080", gone}},
			"192.0.2.7:80", "192.0.2.1:8080", false,
		},
		{"what a killed command left", []ownForward{{"80 192.0.2.1:8080", gone}}, "127.0.0.1:80", "192.0.2.1:8080", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			tx := ownTransaction(t, c.forwards)
			socket := kernel.OwnSocket{
				Socket: kernel.Socket{Cookie: 1, Peer: netip.MustParseAddrPort(c.peer)},
				Asked:  netip.MustParseAddrPort(c.asked),
			}
			// Others do not matter, wherever they are.
			others := []kernel.OwnSocket{
				{Socket: kernel.Socket{Cookie: 2, Peer: netip.MustParseAddrPort("192.0.2.9:1")}},
				{Socket: kernel.Socket{Cookie: 3, Peer: netip.MustParseAddrPort("192.0.2.9:65535")}},
			}
			strays := tx.strays(append(others, socket), TCP, tx.after.gone)
			var want []kernel.Socket
			if c.want {
				want = []kernel.Socket{socket.Socket}
			}
			if got := slices.Collect(maps.Keys(strays)); !slices.Equal(got, want) {
				t.Errorf("strays are %v, want %v", got, want)
			}
		})
	}
}

// Connections that outlived an earlier change do not end with this one.
func TestStraysOfThisChange(t *testing.T) {
	socket := kernel.OwnSocket{
		Socket: kernel.Socket{Cookie: 1, Peer: netip.MustParseAddrPort("192.0.2.1:8080")},
		Asked:  netip.MustParseAddrPort("127.0.0.1:80"),
	}
	for state, want := range map[string]bool{"alive": false, "going": true, "gone": false} {
		tx := ownTransaction(t, []ownForward{{"80 192.0.2.1:8080", state}})
		if got := tx.strays([]kernel.OwnSocket{socket}, TCP, tx.goes)[socket.Socket]; got != want {
			t.Errorf("a backend that is %s: %v, want %v", state, got, want)
		}
	}
}
