// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// 100 MB arrive as they were sent, in both directions, with offloads on and off.
func TestBulkContentIsIntact(t *testing.T) {
	t.Parallel()
	const size = 100_000_000
	for _, offloads := range []bool{true, false} {
		t.Run(fmt.Sprintf("offloads %v", offloads), func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			net.Client.Offloads("eth0", offloads)
			net.Host.Offloads("eth0", offloads)
			net.Host.Bulk(":30080")
			net.Host.XFWD().Add("80", "30080")
			for family, host := range net.HostAddr.All() {
				within(t, net, family, func(t *testing.T) {
					if err := net.Client.Upload(at(host, 80), size); err != nil {
						t.Errorf("to the host: %v", err)
					}
					if err := net.Client.Download(at(host, 80), size); err != nil {
						t.Errorf("to the client: %v", err)
					}
				})
			}
		})
	}
}

// iperf3 works in both directions, over TCP and UDP.
func TestIperf3(t *testing.T) {
	t.Parallel()
	lab.Need(t, "iperf3")
	net := lab.New(t).Direct()
	net.Host.XFWD().Add("5201/tcp+udp", "35201")
	server := net.Host.Start("iperf3", "-s", "-p", "35201", "--forceflush")
	tests := 0
	for family, host := range net.HostAddr.All() {
		for name, args := range map[string][]string{
			"tcp to the host":   {"-n", "100M"},
			"tcp to the client": {"-n", "100M", "-R"},
			"udp to the host":   {"-n", "10M", "-u", "-b", "500M"},
			"udp to the client": {"-n", "10M", "-u", "-b", "500M", "-R"},
		} {
			within(t, net, family+" "+name, func(t *testing.T) {
				// It serves one test after the other, and says when it is ready for the next. A
				// connection that only looks whether it listens would be a test to it.
				tests++
				lab.Eventually(t, lab.Patience, func() error {
					if !server.Running() {
						t.Fatalf("iperf3 ended: %s%s", &server.Stdout, &server.Stderr)
					}
					if strings.Count(server.Stdout.String(), "Server listening") < tests {
						return errors.New("the server is busy")
					}
					return nil
				})
				output, err := net.Client.Try("iperf3", append(args, "-c", host.String(), "-p", "5201", "-J")...)
				if err != nil {
					t.Fatal(err, &server.Stdout, &server.Stderr)
				}
				var result struct {
					Error string
					End   struct {
						Received struct{ Bytes float64 } `json:"sum_received"`
						Sum      struct {
							Bytes       float64
							LostPercent float64 `json:"lost_percent"`
						}
					}
				}
				if err := json.Unmarshal([]byte(output), &result); err != nil || result.Error != "" {
					t.Fatalf("%v %s in %s", err, result.Error, output)
				}
				if received := result.End.Received.Bytes + result.End.Sum.Bytes; received < 9e6 {
					t.Errorf("only %.0f bytes arrived: %s", received, output)
				}
			})
		}
	}
}
