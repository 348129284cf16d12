// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// badLink is a site where the way between client and host is bad, with the frontends
// of echo servers and, at the next port, bulk servers here and elsewhere.
type badLink struct {
	*lab.Site
	x         *lab.XFWD
	frontends map[string]uint16
}

func newBadLink(t *testing.T) *badLink {
	t.Helper()
	needVM(t, "netem")
	lab.Need(t, "tc")
	s := &badLink{Site: lab.New(t).TwoArmed(1), frontends: map[string]uint16{"here": 80, "elsewhere": 8080}}
	for _, n := range []*lab.Namespace{s.Host, s.Servers[0].Namespace} {
		for _, network := range networks {
			n.Echo(network, ":30080")
		}
		n.Bulk(":30081")
	}
	s.x = s.Host.XFWD()
	s.x.Add("80-81/tcp+udp", "30080-30081")
	server := s.Servers[0].Addr
	s.x.Add("8080-8081/tcp+udp", at(server.V4, 30080).String()+"-30081", at(server.V6, 30080).String()+"-30081",
		"--source", "masquerade")
	return s
}

// all are the frontends of each protocol, as xfwd calls them.
func (s *badLink) all() (frontends []string) {
	for _, port := range s.frontends {
		for _, network := range networks {
			frontends = append(frontends, fmt.Sprintf("%d-%d/%s", port, port+1, network))
		}
	}
	return frontends
}

// degrade has what client and host send to each other pass netem. Each packet is one
// of the wire.
func (s *badLink) degrade(how ...string) {
	for _, n := range []*lab.Namespace{s.Client, s.Host} {
		n.Offloads("eth0", false)
		n.Run("tc", append([]string{"qdisc", "replace", "dev", "eth0", "root", "netem", "limit", "10000"}, how...)...)
	}
}

// What is lost, overtaken and doubled in front of a forward is no more than that to
// those behind it.
func TestBadLink(t *testing.T) {
	t.Parallel()
	s := newBadLink(t)
	for name, test := range map[string]func(*testing.T, *badLink){"streams and datagrams": testBadLink, "fragments": testOvertakenFragments} {
		t.Run(name, func(t *testing.T) {
			s.Lab.Within(t)
			test(t, s)
			mustDropOnly(t, s.x)
		})
	}
}

// Streams arrive as they were sent, and datagrams where they belong; each flow is one.
func testBadLink(t *testing.T, s *badLink) {
	s.degrade("delay", "4ms", "3ms", "loss", "2%", "duplicate", "3%")
	before := make(map[string]uint64)
	for _, frontend := range s.all() {
		before[frontend] = s.x.Counters(frontend).Connections.Opened
	}
	var transfers sync.WaitGroup
	var dials sync.Map
	for place, port := range s.frontends {
		for family, host := range s.HostAddr.All() {
			for way, transfer := range map[string]func(netip.AddrPort, uint64) error{
				"upload": s.Client.Upload, "download": s.Client.Download,
			} {
				name := way + " " + place + " " + family
				transfers.Go(func() {
					tries, err := patiently(func() error { return transfer(at(host, port+1), 100_000) })
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
					dials.Store(name, tries)
				})
			}
		}
	}
	transfers.Wait()

	// Of more at once some would find a socket's buffer full.
	const count = 80
	var all volley
	for to, v := range s.fireAll(t, count, 100) {
		if v.arrived < count*2/3 {
			t.Errorf("of %d datagrams to %v, %d were answered", count, to, v.arrived)
		}
		all.missing += v.missing
		all.doubled += v.doubled
		all.overtaken += v.overtaken
	}
	if all.missing == 0 || all.doubled == 0 || all.overtaken == 0 {
		t.Errorf("%+v: the test does not test what it says", all)
	}

	most := 0
	dials.Range(func(_, tries any) bool { most += tries.(int); return true })
	for _, frontend := range s.all() {
		// What is not answered may have made a flow all the same.
		fewest, most := 4, most-4
		if strings.HasSuffix(frontend, "udp") {
			fewest, most = 2, 2
		}
		if opened := int(s.x.Counters(frontend).Connections.Opened - before[frontend]); opened < fewest || opened > most {
			t.Errorf("%s: %d connections were counted, want %d to %d", frontend, opened, fewest, most)
		}
	}
}

// Fragments may come in any order: those for this host all do what they are for, and
// of those for another machine, the datagrams whose first fragment comes first.
func testOvertakenFragments(t *testing.T, s *badLink) {
	const count, size, mostVolleys = 10, 4000, 20
	s.degrade("delay", "4ms", "reorder", "25%")
	before, early, missing := s.x.Status().Passes["fragment-early"], uint64(0), 0
	// Which fragments are overtaken is chance.
	for range mostVolleys {
		for to, v := range s.fireAll(t, count, size) {
			here := to.Port() == s.frontends["here"]
			if v.arrived == 0 || here && v.missing != 0 {
				t.Errorf("to %v: %+v of %d", to, v, count)
			}
			if !here {
				missing += v.missing
			}
		}
		if early = s.x.Status().Passes["fragment-early"] - before; t.Failed() || early > 0 && missing > 0 {
			return
		}
	}
	t.Errorf("%d fragments came before their first, %d datagrams did not arrive: the test does not test what it says", early, missing)
}

// patiently repeats what begins with a connection until there is one: twice in a row
// a link may lose what makes it.
func patiently(transfer func() error) (tries int, err error) {
	for tries = 1; ; tries++ {
		var dialing *net.OpError
		err = transfer()
		if !errors.As(err, &dialing) || dialing.Op != "dial" || !dialing.Timeout() || tries == 5 {
			return tries, err
		}
	}
}

// volley is what came of a number of datagrams.
type volley struct{ arrived, missing, doubled, overtaken int }

// fireAll fires at all echo servers at once.
func (s *badLink) fireAll(t *testing.T, count, size int) map[netip.AddrPort]volley {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	volleys := make(map[netip.AddrPort]volley)
	for _, port := range s.frontends {
		for _, host := range s.HostAddr.All() {
			conn, err := s.Client.Dial("udp", at(host, port), anyPort)
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				defer conn.Close()
				v, err := fire(conn, count, size)
				if err != nil {
					t.Errorf("%v to %v: %v", conn.LocalAddr(), conn.RemoteAddr(), err)
				}
				mu.Lock()
				defer mu.Unlock()
				volleys[at(host, port)] = v
			})
		}
	}
	all.Wait()
	return volleys
}

// fire sends datagrams of that size to an echo server, one right after the other. It
// fails if one comes back that is not of them, or the server sees more than one client.
func fire(conn net.Conn, count, size int) (v volley, err error) {
	datagram := func(number int) []byte {
		mark := fmt.Appendf(nil, "%05d of %v to %v.", number, conn.LocalAddr(), conn.RemoteAddr())
		return bytes.Repeat(mark, size/len(mark)+1)[:size]
	}
	for number := range count {
		if _, err := conn.Write(datagram(number)); err != nil {
			return v, err
		}
	}
	seen := make(map[int]bool)
	sawClient, last := "", -1
	answer := make([]byte, 1<<16)
	for {
		conn.SetReadDeadline(time.Now().Add(lab.Patience))
		length, err := conn.Read(answer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return v, err
		}
		addresses, echoed, _ := bytes.Cut(answer[:length], []byte("\n"))
		var clientSeen string
		var number int
		fmt.Sscan(string(addresses), &clientSeen)
		fmt.Sscanf(string(echoed), "%d of", &number)
		if !bytes.Equal(echoed, datagram(number)) {
			return v, fmt.Errorf("the answer is to %.60q", echoed)
		}
		if sawClient != "" && clientSeen != sawClient {
			return v, fmt.Errorf("the server saw the client as %s and as %s", sawClient, clientSeen)
		}
		sawClient = clientSeen
		switch {
		case seen[number]:
			v.doubled++
		case number < last:
			v.overtaken++
		}
		seen[number], last = true, max(last, number)
	}
	v.arrived, v.missing = len(seen), count-len(seen)
	return v, nil
}
