// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// The environment variables that make a process of this test binary a server, which
// serves echo at these addresses, or a client, which talks to an address.
const (
	echoServer    = "XFWD_TEST_ECHO_SERVER"
	talkingClient = "XFWD_TEST_TALKING_CLIENT"
)

// serveEcho does not return.
func serveEcho(addresses string) {
	failed := make(chan error)
	for address := range strings.FieldsSeq(addresses) {
		for _, network := range networks {
			go func() { failed <- lab.ServeEcho(network, address) }()
		}
	}
	panic(<-failed)
}

// talkTo has connections to an address, over which it goes on talking. It does not
// return.
func talkTo(address string) {
	const connections = 20
	failed := make(chan error)
	for range connections {
		for _, network := range networks {
			go func() {
				conn, err := net.Dial(network, address)
				for err == nil {
					_, err = conn.Write([]byte("message"))
					time.Sleep(time.Millisecond)
				}
				failed <- err
			}()
		}
	}
	panic(<-failed)
}

// itself is a command that runs this test binary as what a variable makes it.
func itself(variable, value string) *exec.Cmd {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), variable+"="+value)
	return command
}

// A backend that is killed with SIGKILL takes nobody with it but its own connections:
// the other one's go on, and nobody is answered by the wrong one. When it runs again,
// it is served as before. Clients that are killed leave no connection behind.
func TestFaultServersAndClientsKilled(t *testing.T) {
	t.Parallel()
	f := newSilentFleet(t, 2)
	start := func(i int) *lab.Process {
		t.Helper()
		server := f.pods[i].StartCommand(itself(echoServer, strings.Join(f.backends("", i), " ")))
		for _, addr := range f.pods[i].Addr.All() {
			for _, network := range networks {
				lab.Eventually(t, 3*lab.Patience, func() error {
					_, err := f.pods[i].Connect(network, at(addr, fleetPort), anyPort)
					return err
				})
			}
		}
		return server
	}
	servers := []*lab.Process{start(0), start(1)}
	f.publish(t, "80/tcp+udp", f.all())
	load, of := f.talkToAll(t, 80)
	mustGoOn(t, load.conns, soon)
	for range 2 {
		servers[0].Kill()
		mustBeSilent(t, of[0])
		mustGoOn(t, of[1], soon)
		f.mustServeOnly(t, 80, 1)
		// Whether backends are alive is nothing that status looks after.
		mustBeFine(t, f.xfwd)
		servers[0] = start(0)
		f.mustServeOnly(t, 80, 0, 1)
		for _, c := range of[0] {
			if c.RemoteAddr().Network() == "udp" {
				mustGoOn(t, []*talk{c}, soon)
			}
		}
	}

	before := f.xfwd.Status().Flows.Established
	client := f.Client.StartCommand(itself(talkingClient, at(f.HostAddr.V4, 80).String()))
	lab.Eventually(t, 3*lab.Patience, func() error {
		if now := f.xfwd.Status().Flows.Established; now < before+30 {
			return fmt.Errorf("%d flows are established, and were %d", now, before)
		}
		return nil
	})
	client.Kill()
	lab.Eventually(t, noticed, func() error {
		// UDP has no end but its time.
		for _, flow := range f.xfwd.Flows() {
			if flow.State == "established" && !load.has(flow.Client) {
				return fmt.Errorf("%+v is there, and its client is not", flow)
			}
		}
		return nil
	})
	mustGoOn(t, of[1], soon)
	f.mustServeOnly(t, 80, 0, 1)
	load.mustNotBeWrong(t)
}

// has says whether one of the connections is from there.
func (f *traffic) has(client lab.Endpoint) bool {
	for _, c := range f.conns {
		if endpoint(c.Local()) == client {
			return true
		}
	}
	return false
}

// Commands that are killed with SIGKILL at any moment, while the traffic that they
// change runs, cost nobody a connection. The next whole command puts everything right.
func TestFaultCommandsKilled(t *testing.T) {
	t.Parallel()
	const kills = 40
	f := newFleet(t, 4)
	f.xfwd.MaxFlows = "65536"
	f.publish(t, "80/tcp+udp", f.all())
	commands := [][]string{
		{"add", "81/tcp+udp", "30080"},
		{"del", "81/tcp+udp"},
		append([]string{"add", "80/tcp+udp", "--replace", "--balance", "round-robin"}, f.all()...),
		append([]string{"add", "80/tcp+udp"}, f.all()...),
	}
	for _, i := range []int{2, 3} {
		for _, action := range []string{"drain", "del", "add"} {
			commands = append(commands, append([]string{"backend", action, "80/tcp+udp"}, f.backends("", i)...))
		}
		commands = append(commands, append([]string{"backend", "set", "80/tcp+udp"}, f.backends(",weight=3", i)...))
	}
	// What a command takes when nobody kills it; then they die at all of its steps.
	whole := f.xfwd.Do("add", "82", "30080").Elapsed
	work := f.work(t, 80)
	killed := 0
	for range kills {
		command := f.xfwd.Command(commands[rand.IntN(len(commands))]...)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(3 * whole / 2))
		command.Process.Kill() // it may have ended
		if command.Wait(); !command.ProcessState.Exited() {
			killed++
		}
	}
	f.xfwd.Do(append([]string{"add", "80/tcp+udp", "--replace"}, f.all()...)...)
	mustBeFine(t, f.xfwd)
	f.mustServeOnly(t, 80, 0, 1, 2, 3)
	// An answer of each UDP client may be on its way when its backend goes.
	work.end(t, 2*kills)
	t.Logf("%d of %d commands were killed before their end", killed, kills)
	if killed < kills/4 {
		t.Error("hardly a command was killed: the test does not test what it says")
	}
}
