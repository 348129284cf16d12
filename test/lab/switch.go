// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Switch is a namespace that does nothing but join others by a bridge.
type Switch struct {
	*Namespace

	ports int
}

// switchBridge is the name of a switch's bridge.
const switchBridge = "lan0"

// Switch makes a switch without ports. Role is the readable end of its name.
func (l *Lab) Switch(role string) *Switch {
	l.tb.Helper()
	s := &Switch{Namespace: l.Namespace(role)}
	s.makeBridge(switchBridge)
	s.BridgeNetfilter(false)
	return s
}

// Plug joins a namespace, which gets a device of that name, and returns the
// switch's port.
func (s *Switch) Plug(n *Namespace, device string) (port string) {
	s.lab.tb.Helper()
	port = fmt.Sprintf("port%d", s.ports)
	s.ports++
	s.lab.Veth(s.Namespace, port, n, device, 1500)
	s.Port(switchBridge, port)
	return port
}

// BridgeNetfilter says whether what bridges hand from port to port, or up to their
// IP layer, meets the iptables rules of the namespace before. The kernel's
// default, where it can do so at all, is yes.
func (n *Namespace) BridgeNetfilter(on bool) {
	n.lab.tb.Helper()
	if !n.HaveBridgeNetfilter() {
		if on {
			n.lab.tb.Fatalf("this kernel has no br_netfilter")
		}
		return
	}
	value := map[bool]string{false: "0", true: "1"}[on]
	n.Sysctl("net.bridge.bridge-nf-call-iptables", value)
	n.Sysctl("net.bridge.bridge-nf-call-ip6tables", value)
}

// HaveBridgeNetfilter says whether the kernel has br_netfilter.
func (n *Namespace) HaveBridgeNetfilter() bool {
	n.lab.tb.Helper()
	var err error
	n.Do(func() { _, err = os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables") })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.lab.tb.Fatalf("br_netfilter of %s: %v", n.Name, err)
	}
	return err == nil
}
