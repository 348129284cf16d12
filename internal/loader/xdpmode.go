// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// XDPMode says how XDP shall be used on a device.
type XDPMode string

// XDPAuto is native XDP on the devices of hardware and none on the others; on
// those tc is as fast or faster. Where it is refused, or packets come by the device whose
// checksums nobody has finished, tc serves the device alone, whatever the mode.
const (
	XDPAuto    XDPMode = "auto"
	XDPNative  XDPMode = "native"
	XDPGeneric XDPMode = "generic"
	XDPOff     XDPMode = "off"
)

// Notes about XDP.
const (
	// xdpUsedNote is there from the time on when XDP has something to do.
	xdpUsedNote = "xdp-used"
	// xdpModesNote holds what SetXDP was told: words such as eth0=native. A
	// device may have an equals sign in its name, but no space.
	xdpModesNote = "xdp-modes"
)

// UseXDP has Attach attach XDP programs, from now on until the dataplane is
// unloaded, for to attach and to detach resets many a network card. XDP serves
// only what leaves this host again.
func (d *Dataplane) UseXDP() error {
	return d.notes().write(xdpUsedNote, "some backend is not on this host")
}

// SetXDP remembers the modes of these devices, by name, for the next Attach and
// all that follow. The empty name is every device that has no mode of its own.
func (d *Dataplane) SetXDP(modes map[string]XDPMode) error {
	if len(modes) == 0 {
		return nil
	}
	all, err := d.XDP()
	if err != nil {
		return err
	}
	maps.Copy(all, modes)
	words := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		words = append(words, name+"="+string(all[name]))
	}
	return d.notes().write(xdpModesNote, strings.Join(words, " "))
}

// XDP returns what SetXDP has been told.
func (d *Dataplane) XDP() (map[string]XDPMode, error) {
	modes := make(map[string]XDPMode)
	text, _, err := d.notes().read(xdpModesNote)
	for word := range strings.FieldsSeq(text) {
		equals := strings.LastIndexByte(word, '=')
		modes[word[:equals]] = XDPMode(word[equals+1:])
	}
	return modes, err
}

// xdpPolicy says what shall be on which device.
type xdpPolicy struct {
	used      bool
	modes     map[string]XDPMode
	checksums checksums
}

// xdpPolicy returns the policy for the current namespace, which has these devices.
func (d *Dataplane) xdpPolicy(devices []*device) (xdpPolicy, error) {
	p := xdpPolicy{checksums: checksums{devices, sync.OnceValue(namespaceFiles)}}
	var err error
	if _, p.used, err = d.notes().read(xdpUsedNote); err != nil {
		return p, err
	}
	p.modes, err = d.XDP()
	return p, err
}

// xdpDecision is what a policy means for one device.
type xdpDecision struct {
	// mode is ModeNative or ModeNone, and why says why that.
	mode, why string
	// explicit is set if the user has asked for a program on this device, so that
	// it is worth a warning if there is none.
	explicit bool
	// unseen is set if the device is without a program because it could not be found out
	// whether it may have one.
	unseen bool
}

// nativeAsAsked is the decision for a program because the user has asked for it.
var nativeAsAsked = xdpDecision{mode: ModeNative, why: "--xdp native", explicit: true}

func (p xdpPolicy) decide(d *device) xdpDecision {
	asked, named := p.modes[d.name]
	if !named {
		asked = p.modes[""]
	}
	wanted := asked == XDPNative || asked == XDPGeneric
	without := func(why string) xdpDecision { return xdpDecision{mode: ModeNone, why: why, explicit: wanted && named} }
	switch {
	case !p.used:
		return xdpDecision{mode: ModeNone, why: "not needed while every backend is on this host"}
	case d.skip != "":
		return without(d.skip)
	case d.master != nil:
		return without("tc alone: port of " + d.master.name)
	case d.layer == raw:
		return without("tc alone: its packets have no Ethernet header")
	case asked == XDPOff:
		return without("tc alone: --xdp off")
	case asked == XDPGeneric:
		return without("tc alone: it is faster than XDP outside of a driver, and sees nothing of what that passes on since Linux 6.9")
	case !wanted && d.kind != hardwareKind:
		return without("tc alone: as fast or faster on a " + d.kind + " device")
	}
	if why, unseen := p.checksums.whyUnfinished(d); why != "" {
		return xdpDecision{ModeNone, "tc alone: " + why, wanted, unseen}
	}
	if wanted {
		return nativeAsAsked
	}
	h := readHardware(d.name)
	if h.bus == "" {
		return without("tc alone: there is no hardware behind it")
	}
	return xdpDecision{mode: ModeNative, why: "in the driver " + h.driver + ", for what leaves this host again"}
}
