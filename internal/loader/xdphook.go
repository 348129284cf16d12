// SPDX-License-Identifier: Apache-2.0

package loader

import "fmt"

// xdpHookName is the name of the XDP hook of a device.
const xdpHookName = "xdp"

// xdpNote names the note about why a device did not take our program.
func xdpNote(device *device) string { return fmt.Sprintf("%d-xdp", device.ifindex) }

// attachXDPHooks brings the XDP programs of all devices to where they shall be,
// and returns the hook of each device, by ifindex.
func (d *Dataplane) attachXDPHooks(devices []*device) (map[int]Hook, error) {
	policy, err := d.xdpPolicy()
	if err != nil {
		return nil, err
	}
	decisions := make(map[int]xdpDecision, len(devices))
	for _, device := range devices {
		decisions[device.ifindex] = policy.decide(device)
	}
	err = d.retireXDP(func(l xdpLink) bool { return decisions[l.ifindex].mode == l.mode })
	if err != nil {
		return nil, err
	}
	hooks := make(map[int]Hook, len(devices))
	for _, device := range devices {
		if hooks[device.ifindex], err = d.attachXDPHook(device, decisions[device.ifindex]); err != nil {
			return nil, err
		}
	}
	native, err := d.nativeXDP()
	if err != nil {
		return nil, err
	}
	return hooks, d.Maps.PutXDPDevices(native)
}

// attachXDPHook follows a decision. That a device refuses is no error, for then tc
// serves it alone; why is noted for those who ask later.
func (d *Dataplane) attachXDPHook(device *device, decision xdpDecision) (Hook, error) {
	refused := ""
	if decision.mode != ModeNone {
		if err := d.attachXDP(device, decision.mode); err != nil {
			refused = "tc alone: " + d.whyXDPRefused(device, decision.mode, err)
		}
	}
	hook := xdpHook(device, decision, refused)
	if refused == "" {
		return hook, d.notes().remove(xdpNote(device))
	}
	return hook, d.notes().write(xdpNote(device), refused)
}

// xdpHook tells how a decision ended; refused is empty unless it was in vain.
func xdpHook(device *device, decision xdpDecision, refused string) Hook {
	hook := Hook{Device: device.name, Name: xdpHookName, Mode: decision.mode, Why: decision.why}
	if refused != "" {
		hook.Mode, hook.Why = ModeNone, refused
	}
	hook.Missing = decision.explicit && hook.Mode == ModeNone
	return hook
}

// xdpHooks tells what attachXDPHooks has done and changes nothing.
func (d *Dataplane) xdpHooks(devices []*device) (map[int]Hook, error) {
	policy, err := d.xdpPolicy()
	if err != nil {
		return nil, err
	}
	hooks := make(map[int]Hook, len(devices))
	for _, device := range devices {
		decision := policy.decide(device)
		refused := ""
		if decision.mode != ModeNone && !d.xdpAttached(xdpLink{device.ifindex, decision.mode}) {
			var noted bool
			if refused, noted, err = d.notes().read(xdpNote(device)); err != nil {
				return nil, err
			}
			if !noted {
				refused = whyNotAttached
			}
		}
		hooks[device.ifindex] = xdpHook(device, decision, refused)
	}
	return hooks, nil
}
