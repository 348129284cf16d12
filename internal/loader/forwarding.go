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

// advertisedOnlyToHosts is the accept_ra that a device has by default: the kernel
// takes router advertisements while the device does not forward. Where
// userspace takes them it is 0.
const advertisedOnlyToHosts = "1"

// AcceptRouters returns the settings that keep IPv6 routes which router
// advertisements have made. The kernel removes these routes when any device begins
// to forward, unless accept_ra of their device is 2 by then.
func (h *Host) AcceptRouters() []string {
	var settings []string
	_ = h.namespace.Do(func() error {
		advertised := advertised()
		for _, d := range h.devices {
			if !advertised[d.ifindex] {
				continue
			}
			name := "net.ipv6.conf." + dotsAndSlashes.Replace(d.name) + ".accept_ra"
			if value, err := readSysctl(name, shortSysctl); err == nil && value == advertisedOnlyToHosts {
				settings = append(settings, name+"=2")
			}
		}
		return nil
	})
	return settings
}
