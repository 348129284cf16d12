// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// restore and apply wait for devices that forwards name.
func TestRestoreWaitsForDevices(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{{"restore"}, {"apply", "-f"}} {
		t.Run(command[0], func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			for _, network := range networks {
				net.Host.Echo(network, ":30080")
			}
			file := fileOf(t, `apiVersion: xfwd/v1
forwards:
  - {frontend: 80/tcp+udp, devices: [eth1, eth0, ppp+], backends: [30080]}
  - {frontend: 81, devices: [wan0], backends: [30080]}
  - {frontend: 82, devices: [by-another-name-that-is-long], backends: [30080]}
`)
			x := net.Host.XFWD()
			words := append(command, file, "--wait", "50s", "--max-flows", x.MaxFlows)
			waiting := net.Host.StartCommand(x.Command(words...))
			time.Sleep(300 * time.Millisecond) // it should wait; that it does not is what may fail
			if !waiting.Running() {
				t.Fatalf("it has not waited: %s%s", &waiting.Stdout, &waiting.Stderr)
			}
			_, host2 := net.SecondLink()
			net.Host.Rename("eth1", "wan0")
			net.Lab.Veth(net.Client, "eth9", net.Host, "eth9", 1500)
			net.Host.AlternativeName("eth9", "by-another-name-that-is-long")
			if !waiting.Running() {
				t.Fatalf("it has not waited for eth1: %s%s", &waiting.Stdout, &waiting.Stderr)
			}
			net.Host.Rename("eth9", "eth1")
			if err := waiting.Wait(); err != nil {
				t.Fatalf("%v: %s", err, &waiting.Stderr)
			}
			mustNotTell(t, waiting.Stderr.String(), "waited")
			mustNotTell(t, waiting.Stderr.String(), "there is no device wan0")
			mustEcho(t, net.Client.MustConnect("tcp", at(host2.V4, 81)))
		})
	}
}

// What has not come in time is told, and all is restored that can be.
func TestRestoreWaitsNotForEver(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	file := fileOf(t, `apiVersion: xfwd/v1
forwards:
  - {frontend: 80/tcp+udp, devices: [eth0], backends: [30080]}
  - {frontend: 81, devices: [docker0, wg0], backends: [30080]}
`)
	x := net.Host.XFWD()
	begin := time.Now()
	result := x.Do("restore", file, "--wait", "200ms", "--max-flows", x.MaxFlows)
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("it has waited for %v only", took)
	}
	mustTell(t, result.Stderr, "warning: waited 200ms for docker0, wg0: no such device has come")
	mustTell(t, result.Stderr, "there is no device wg0: 81/tcp takes effect there when it has come")
	for _, host := range net.HostAddr.All() {
		mustLead(t, net, host, 30080)
	}
	mustFail(t, x.Run("restore", file, "--wait", "soon"), 2, "--wait", "30s")
}
