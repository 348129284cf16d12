// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// wholeLooks is how often serve has compared the dataplane with the whole host.
func wholeLooks(s *lab.Serving) float64 { return s.Metrics()["xfwd_reconcile_whole_total"] }

// followed waits until serve follows the host from forwards that nobody changes any more.
func followed(t *testing.T, l *lab.Lab, lan *lab.Network, x *lab.XFWD) {
	t.Helper()
	// The first event after a command leads to a look at the host as a whole.
	l.Veth(lan.Host, "first", lan.Client, "first", 1500)
	mustAttach(t, x, "first")
}

// missing says whether a hook of a device has no program.
func missing(x *lab.XFWD, device, name string) bool {
	for _, h := range x.Status().Hooks {
		if h.Device == device && h.Hook == name {
			return h.Mode == "none"
		}
	}
	return false
}

// The event of a device is about that device only. What has happened to another one
// meanwhile, an inspection finds.
func TestADeviceCostsThatDevice(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	lan := l.Direct()
	lan.Host.Echo("tcp", ":30080")
	x := lan.Host.XFWD()
	x.Add("80", "30080")
	s := x.Serve()
	followed(t, l, lan, x)
	seen := false
	for try := 0; try < 5 && !seen; try++ {
		mustAttach(t, x, "eth0")
		before := wholeLooks(s)
		x.TearOff("eth0", "ingress")
		device := fmt.Sprintf("late%d", try)
		l.Veth(lan.Host, device, lan.Client, device, 1500)
		mustAttach(t, x, device)
		isMissing := missing(x, "eth0", "ingress")
		if wholeLooks(s) != before {
			continue // an inspection came in between, every half minute
		}
		if seen = true; !isMissing {
			t.Error("the event of another device has led to eth0")
		}
	}
	if !seen {
		t.Fatal("every event of a device leads to a look at the host as a whole")
	}
	lab.Eventually(t, 100*lab.Patience, func() error {
		if missing(x, "eth0", "ingress") {
			return fmt.Errorf("no inspection has found that eth0 has lost its program")
		}
		return nil
	})
	mustEcho(t, lan.Client.MustConnect("tcp", at(lan.HostAddr.V4, 80)))
	mustBeFine(t, x)
}

// Twenty devices that come and go at once are attached to and forgotten, without a look at
// the host as a whole, and nothing is left of them.
func TestTwentyDevicesAtOnce(t *testing.T) {
	t.Parallel()
	const devices = 20
	l := lab.New(t)
	lan := l.Direct()
	lan.Host.Echo("tcp", ":30080")
	x := lan.Host.XFWD()
	x.Add("80", "30080")
	s := x.Serve()
	followed(t, l, lan, x)
	pins := func() int {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(x.Root, "net-*", "links", "*-*gress"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	few := pins()
	for try := 0; ; try++ {
		before := wholeLooks(s)
		for i := range devices {
			name := fmt.Sprintf("many%d", i)
			l.Veth(lan.Host, name, lan.Client, name, 1500)
		}
		for i := range devices {
			mustAttach(t, x, fmt.Sprintf("many%d", i))
		}
		for i := range devices {
			lan.Host.DeleteLink(fmt.Sprintf("many%d", i))
		}
		lab.Eventually(t, 30*lab.Patience, func() error {
			if left := pins(); left != few {
				return fmt.Errorf("%d links are pinned, %d before the devices came", left, few)
			}
			return nil
		})
		switch looks := wholeLooks(s) - before; {
		case looks == 0:
		case try < 3:
			continue // an inspection
		default:
			t.Errorf("serve has looked at the whole host %v times", looks)
		}
		break
	}
	mustEcho(t, lan.Client.MustConnect("tcp", at(lan.HostAddr.V4, 80)))
	mustBeFine(t, x)
}

// What an address costs does not depend on how many routes there are.
func TestAddressesBesideManyRoutes(t *testing.T) {
	lab.Need(t, "ip")
	const routes, changes = 50_000, 20
	l := lab.New(t)
	lan := l.Direct()
	lan.Host.Echo("tcp", ":30080")
	x := lan.Host.XFWD()
	x.Add("80", "30080")
	s := x.Serve()
	followed(t, l, lan, x)
	processor := func() float64 { return s.Metrics()["process_cpu_seconds_total"] }
	subnet := 0
	flap := func() float64 {
		t.Helper()
		before := processor()
		for range changes {
			subnet++
			looks := reconciled(s)
			lan.Host.Address("first", netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(subnet), 1}), 32))
			mustReconcile(t, s, looks)
		}
		return processor() - before
	}
	without := flap()
	var batch strings.Builder
	for i := range routes {
		fmt.Fprintf(&batch, "route add 10.%d.%d.%d/32 via %s\n", i>>16, i>>8&255, i&255, lan.ClientAddr.V4)
	}
	file := filepath.Join(t.TempDir(), "routes")
	if err := os.WriteFile(file, []byte(batch.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	lan.Host.Run("ip", "-batch", file)
	// serve has been told of each of them.
	for last := -1.0; processor()-last > 0.05; time.Sleep(2 * time.Second) {
		last = processor()
	}
	with := flap()
	t.Logf("%d addresses take %.2f s of the processor, beside %d routes %.2f s", changes, without, routes, with)
	if with > 3*without+0.2 {
		t.Errorf("beside %d routes %d addresses take %.2f s of the processor, and %.2f s without", routes, changes, with, without)
	}
}
