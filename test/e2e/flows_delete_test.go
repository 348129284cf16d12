// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// Filters of flows are joined by "and", whatever is printed.
func TestFlowFilters(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080", "--name", "web")
	x.Add("81", "30081")
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	net.Host.Echo("tcp", ":30081")
	open := map[string]*lab.Conn{}
	for family, host := range net.HostAddr.All() {
		for _, network := range networks {
			open[network+family] = net.Client.MustConnect(network, at(host, 80))
			mustEcho(t, open[network+family])
		}
	}
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 81)))
	closed := net.Client.MustConnect("tcp", at(net.HostAddr.V6, 81))
	mustEcho(t, closed)
	closed.Close()
	lab.Eventually(t, lab.Patience, func() error {
		if n := numberOfFlows(t, x, "--state", "closed"); n != 1 {
			return fmt.Errorf("%d flows are closed, want 1", n)
		}
		return nil
	})

	client4, client6 := net.ClientAddr.V4.String(), net.ClientAddr.V6.String()
	for words, want := range map[string]int{
		"":                                    6,
		"web":                                 4,
		"80/tcp":                              2,
		"81":                                  2,
		"--protocol udp":                      2,
		"80/tcp+udp --limit 3":                3,
		"--state established":                 3,
		"81 --state established":              1,
		"--state established --state two-way": 5,
		"--client " + client4:                 3,
		"--client " + client6 + "/128 web":    2,
		"--client 0.0.0.0/0 --protocol tcp":   2,
		"--client " + open["udpIPv4"].Local().String() + " --protocol udp": 1,
		"--target :30081": 2,
		"--target [" + net.HostAddr.V6.String() + "]:30080":       2,
		"--target " + net.HostAddr.V4.String() + " --client ::/0": 0,
		"--idle 1h": 0,
	} {
		if got := countFlows(t, x, strings.Fields(words)...); got != want {
			t.Errorf("%q: %d flows, want %d", words, got, want)
		}
	}
}

// countFlows counts the flows that words behind `xfwd flows` mean, in each way.
func countFlows(t *testing.T, x *lab.XFWD, words ...string) int {
	t.Helper()
	var listed []lab.Flow
	text := x.Do(append([]string{"flows", "-o", "json"}, words...)...).Stdout
	if err := json.Unmarshal([]byte(text), &listed); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if n := numberOfFlows(t, x, words...); n != len(listed) {
		t.Errorf("%q: %d are counted, and %d listed", words, n, len(listed))
	}
	table := strings.Count(x.Do(append([]string{"flows"}, words...)...).Stdout, "\n") - 1
	if table != len(listed) {
		t.Errorf("%q: a table of %d flows, want %d", words, table, len(listed))
	}
	return len(listed)
}

// numberOfFlows is what `xfwd flows --count` says, which may be another the next time.
func numberOfFlows(t *testing.T, x *lab.XFWD, words ...string) int {
	t.Helper()
	text := x.Do(append([]string{"flows", "--count"}, words...)...).Stdout
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitSilence waits until so many flows that words mean have been silent for a while,
// so that not even an acknowledgement is on its way.
func awaitSilence(t *testing.T, x *lab.XFWD, want int, words ...string) {
	t.Helper()
	lab.Eventually(t, 30*time.Second, func() error {
		if n := numberOfFlows(t, x, append(words, "--idle", "2s")...); n != want {
			return fmt.Errorf("%d flows are silent, want %d", n, want)
		}
		return nil
	})
}

// What is forgotten is made again by the client's next packet, if that can be, and
// nothing else is forgotten.
func TestFlowsDelForgets(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	for family, host := range net.HostAddr.All() {
		within(t, net, family, func(t *testing.T) {
			conns := map[string]*lab.Conn{}
			for _, network := range networks {
				conns[network] = net.Client.MustConnect(network, at(host, 80))
				mustEcho(t, conns[network])
			}
			awaitSilence(t, x, countFlows(t, x))
			for _, network := range networks {
				client := conns[network].Local().String()
				words := []string{"--client", client, "--protocol", network}
				mustSay(t, x.Do(append([]string{"flows", "del", "--dry-run"}, words...)...), "would forget 1 flow\n")
				if n := countFlows(t, x, words...); n != 1 {
					t.Errorf("the rehearsal left %d flows of %s", n, client)
				}
				before := countFlows(t, x)
				opened := x.Counters("80/" + network).Connections.Opened
				mustSay(t, x.Do(append([]string{"flows", "del"}, words...)...), "forgot 1 flow\n")
				if n := countFlows(t, x); n != before-1 {
					t.Errorf("of %d flows %d are left", before, n)
				}
				mustEcho(t, conns[network])
				if n := x.Counters("80/" + network).Connections.Opened; n != opened+1 {
					t.Errorf("%s: %d flows were opened, want %d", network, n, opened+1)
				}
				if n := countFlows(t, x, words...); n != 1 {
					t.Errorf("%d flows of %s are there again", n, client)
				}
			}
		})
	}
	n := countFlows(t, x)
	awaitSilence(t, x, n)
	mustSay(t, x.Do("flows", "del", "--all"), fmt.Sprintf("forgot %d flows\n", n))
	mustSay(t, x.Do("flows", "del", "--all"), "forgot 0 flows\n")
}

func mustSay(t *testing.T, got lab.Result, want string) {
	t.Helper()
	if got.Stdout != want {
		t.Errorf("xfwd says %q, want %q", got.Stdout, want)
	}
}

// A connection whose flow is forgotten ends when its server is the next to talk, and
// when its forward is gone.
func TestFlowsDelEndsConnections(t *testing.T) {
	t.Parallel()
	lan := lab.New(t).Direct()
	x := lan.Host.XFWD()
	x.Add("80", "30080")
	x.Add("81", "30080")
	talk, ended := make(chan bool), make(chan error)
	lan.Host.Serve(":30080", func(conn net.Conn) {
		io.ReadFull(conn, make([]byte, 1))
		if <-talk {
			conn.Write([]byte("hello"))
		}
		conn.SetDeadline(time.Now().Add(lab.Patience))
		_, err := conn.Read(make([]byte, 1))
		ended <- err
	})
	for family, host := range lan.HostAddr.All() {
		dial := func(port uint16) net.Conn {
			t.Helper()
			conn, err := lan.Client.Dial("tcp", at(host, port), anyPort)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			conn.Write([]byte("x"))
			lab.Eventually(t, lab.Patience, func() error {
				if numberOfFlows(t, x, "--client", conn.LocalAddr().String(), "--state", "established") != 1 {
					return fmt.Errorf("%v has no established flow", conn.LocalAddr())
				}
				return nil
			})
			return conn
		}
		mustEnd := func(who string, err error) {
			t.Helper()
			if !isReset(err) {
				t.Errorf("%s: the %s's connection ends with %v", family, who, err)
			}
		}
		conn := dial(80)
		mustSay(t, x.Do("flows", "del", "80", "--client", conn.LocalAddr().String()), "forgot 1 flow\n")
		talk <- true
		mustEnd("server", <-ended)
		conn.SetDeadline(time.Now().Add(lab.Patience))
		conn.Write([]byte("y"))
		_, err := conn.Read(make([]byte, 1))
		mustEnd("client", err)

		conn = dial(81)
		x.Do("del", "81")
		mustSay(t, x.Do("flows", "del", "--client", conn.LocalAddr().String()), "forgot 1 flow\n")
		conn.SetDeadline(time.Now().Add(lab.Patience))
		conn.Write([]byte("y"))
		_, err = conn.Read(make([]byte, 1))
		mustEnd("client", err)
		talk <- true
		mustEnd("server", <-ended)
		x.Add("81", "30080")
	}
}

// Least connections knows which are forgotten, also of those that were reset and so
// counted off already.
func TestFlowsDelCountsConnectionsOff(t *testing.T) {
	t.Parallel()
	const each = 10
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	ports := []string{"30080", "30081"}
	for _, port := range ports {
		net.Host.Echo("tcp", ":"+port)
	}
	for _, existing := range []string{"keep", "reset"} {
		within(t, net, existing, func(t *testing.T) {
			x.Add("80", ports[0], ports[1], "--balance", "least-connections")
			open := func(count int) map[string][]*lab.Conn {
				t.Helper()
				conns := map[string][]*lab.Conn{}
				for range count {
					conn := net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80))
					mustEcho(t, conn)
					port := fmt.Sprint(conn.Server.Port())
					conns[port] = append(conns[port], conn)
				}
				return conns
			}
			first := open(2 * each)
			for _, port := range ports {
				if len(first[port]) != each {
					t.Errorf("backend %s has %d connections, want %d", port, len(first[port]), each)
				}
			}
			awaitSilence(t, x, each, "--target", ":"+ports[0])
			mustSay(t, x.Do("flows", "del", "--target", ":"+ports[0], "--existing", existing), fmt.Sprintf("forgot %d flows\n", each))
			if existing == "reset" {
				for _, conn := range first[ports[0]] {
					conn.SetDeadline(time.Now().Add(lab.Patience))
					if _, err := conn.Read(make([]byte, 1)); !isReset(err) {
						t.Errorf("%v is not reset, but %v", conn.Local(), err)
					}
				}
			}
			mustEcho(t, first[ports[1]][0])
			second := open(2 * each)
			if got, want := len(second[ports[0]]), each+each/2; got != want {
				t.Errorf("the backend without connections got %d of %d new ones, want %d", got, 2*each, want)
			}
			x.Do("del", "80", "--existing", "reset")
		})
	}
}

// Elsewhere, a forgotten connection finds its backend again by a hash; one that is
// masqueraded comes from another port then, and is reset.
func TestFlowsDelElsewhere(t *testing.T) {
	t.Parallel()
	const count = 10
	f := newFleet(t, 3)
	f.publish(t, "80", f.all())
	f.publish(t, "81", f.all(), "--source", "masquerade")
	for family, host := range f.HostAddr.All() {
		kept, masqueraded := f.open(t, "tcp", at(host, 80), count), f.open(t, "tcp", at(host, 81), count)
		client := []string{"--client", f.ClientAddr.Of(host).String()}
		awaitSilence(t, f.xfwd, 2*count, client...)
		for _, port := range []string{"80", "81"} {
			mustSay(t, f.xfwd.Do(append([]string{"flows", "del", port}, client...)...), fmt.Sprintf("forgot %d flows\n", count))
		}
		resets := 0
		for i := range f.pods {
			for _, conn := range kept[i] {
				mustEcho(t, conn)
				conn.Close()
			}
			for _, conn := range masqueraded[i] {
				if err := conn.Echo([]byte("still there?")); isReset(err) {
					resets++
				} else if err != nil {
					t.Errorf("%s: %v: %v", family, conn.Local(), err)
				}
				conn.Close()
			}
		}
		if resets < count/2 {
			t.Errorf("%s: of %d masqueraded connections %d were reset", family, count, resets)
		}
	}
}
