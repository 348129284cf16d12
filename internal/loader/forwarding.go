// SPDX-License-Identifier: Apache-2.0

package loader

// ForwardingOff returns the sysctls that must be set to 1 so that the kernel
// forwards packets of a family, whatever the device that they come by. A sysctl
// that cannot be read is not told.
func (h *Host) ForwardingOff(ipv6 bool) []string {
	var off []string
	_ = h.namespace.Do(func() error {
		off = forwardingOff(h.devices, ipv6)
		return nil
	})
	return off
}

func forwardingOff(devices []*device, ipv6 bool) []string {
	all, family := "net.ipv4.ip_forward", "ipv4"
	if ipv6 {
		all, family = "net.ipv6.conf.all.forwarding", "ipv6"
	}
	var off []string
	forwards := false
	for _, d := range devices {
		// What comes by a port is forwarded by its bridge.
		if d.skip != "" || d.network() != d {
			continue
		}
		name := "net." + family + ".conf." + dotsAndSlashes.Replace(d.name) + ".forwarding"
		switch value, err := readSysctl(name, shortSysctl); {
		case err != nil:
		case value == "0":
			off = append(off, name)
		default:
			forwards = true
		}
	}
	// Where nothing forwards, the one that sets all of them is the one to set.
	if len(off) > 0 && !forwards {
		return []string{all}
	}
	return off
}
