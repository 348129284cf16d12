// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"slices"
)

// xdpHookName is the name of the XDP hook of a device.
const xdpHookName = "xdp"

// xdpNote names the note about why a device did not take our program.
func xdpNote(device *device) string { return fmt.Sprintf("%d-xdp", device.ifindex) }

// decideXDP returns what the user's policy means for each device, by ifindex.
func (d *Dataplane) decideXDP(devices []*device) (map[int]xdpDecision, error) {
	policy, err := d.xdpPolicy(devices)
	if err != nil {
		return nil, err
	}
	decisions := make(map[int]xdpDecision, len(devices))
	for _, device := range devices {
		decisions[device.ifindex] = d.decideFor(policy, device)
	}
	return decisions, nil
}

// decideFor returns what a policy means for a device. What a command has attached, which had
// seen that it may, stays where we see less: a daemon has fewer capabilities.
func (d *Dataplane) decideFor(policy xdpPolicy, device *device) xdpDecision {
	decision := policy.decide(device)
	if decision.unseen && d.xdpAttached(xdpLink(device.ifindex)) {
		return nativeAsAsked
	}
	return decision
}

// attachXDPHooks brings the XDP programs of all devices to where the decisions want them,
// and returns the hook of each device, by ifindex.
func (d *Dataplane) attachXDPHooks(devices []*device, decisions map[int]xdpDecision) (map[int]Hook, error) {
	refused, err := d.moveXDP(devices, decisions)
	if err != nil {
		return nil, err
	}
	hooks := make(map[int]Hook, len(devices))
	for _, device := range devices {
		hooks[device.ifindex] = xdpHook(device, decisions[device.ifindex], refused[device.ifindex])
	}
	return hooks, nil
}

// moveXDP follows the decisions about all devices, and returns why some of these
// refused. At no time does XDP send through a device that would drop it.
func (d *Dataplane) moveXDP(devices []*device, decisions map[int]xdpDecision) (refused map[int]string, err error) {
	stays := func(l xdpLink) bool { return decisions[int(l)].mode == ModeNative }
	sendable, err := d.sendableXDP(devices)
	if err != nil {
		return nil, err
	}
	err = d.limitXDP(slices.DeleteFunc(sendable, func(ifindex uint32) bool {
		return !stays(xdpLink(ifindex))
	}))
	if err != nil {
		return nil, err
	}
	if err := d.detachXDPExcept(stays); err != nil {
		return nil, err
	}
	refused = make(map[int]string)
	for _, device := range devices {
		if refused[device.ifindex], err = d.tryXDP(device, decisions[device.ifindex]); err != nil {
			return nil, err
		}
	}
	if sendable, err = d.sendableXDP(devices); err != nil {
		return nil, err
	}
	return refused, d.Maps.PutXDPDevices(sendable)
}

// tryXDP attaches to a device that shall have our program. That the device refuses
// is no error, for then tc serves it alone; why is noted for those who ask later.
func (d *Dataplane) tryXDP(device *device, decision xdpDecision) (refused string, err error) {
	if decision.mode == ModeNative {
		program, err := d.program(xdpProgram())
		if err != nil {
			refused = "tc alone: " + err.Error()
		} else if err := d.attachXDP(device, program); err != nil {
			refused = "tc alone: " + whyXDPRefused(device, program, err)
		}
	}
	if refused == "" {
		return "", d.notes().remove(xdpNote(device))
	}
	return refused, d.notes().write(xdpNote(device), refused)
}

// xdpHook tells how a decision ended; refused is empty unless it was in vain. It
// is missing only if the user has asked for it, for tc serves in its place.
func xdpHook(device *device, decision xdpDecision, refused string) Hook {
	hook := Hook{Device: device.name, Kind: device.kind, Name: xdpHookName, Mode: decision.mode, Why: decision.why}
	switch {
	case refused != "":
		hook.Mode, hook.Why = ModeNone, refused
	case hook.Mode == ModeNative && !device.deliversXDP():
		hook.Why += "; nothing is sent by it, for there is no XDP program at its other end"
	}
	hook.Missing = decision.explicit && hook.Mode == ModeNone
	return hook
}

// whyXDPLost says what has become of a program that no note says was refused.
// Until a command looks, XDP may send through a device that drops it for want of
// one, so this is worth a warning on every device.
func whyXDPLost(device *device) string {
	if owner := xdpOwner(device.ifindex); owner != "" {
		return "the XDP hook is taken by " + owner + " since the last change; `xfwd apply` or any `xfwd add` goes without it"
	}
	return whyNotAttached
}

// xdpHooks tells what attachXDPHooks has done and changes nothing.
func (d *Dataplane) xdpHooks(devices []*device) (map[int]Hook, error) {
	policy, err := d.xdpPolicy(devices)
	if err != nil {
		return nil, err
	}
	hooks := make(map[int]Hook, len(devices))
	for _, device := range devices {
		decision := d.decideFor(policy, device)
		attached := d.xdpAttached(xdpLink(device.ifindex))
		refused, lost := "", false
		if attached && decision.mode == ModeNone {
			lost, refused = true, decision.why+", and XDP serves it still; any `xfwd add` ends that"
		}
		if !attached && decision.mode == ModeNative {
			var noted bool
			if refused, noted, err = d.notes().read(xdpNote(device)); err != nil {
				return nil, err
			}
			if !noted {
				lost = true
				refused = whyXDPLost(device)
			}
		}
		hook := xdpHook(device, decision, refused)
		hook.Missing = hook.Missing || lost
		hooks[device.ifindex] = hook
	}
	return hooks, nil
}
