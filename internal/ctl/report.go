// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"net/netip"
	"time"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// Existing says what happens to established TCP flows of a forward or a backend that
// goes.
type Existing string

// The choices of --existing.
const (
	ExistingKeep  Existing = "keep"
	ExistingReset Existing = "reset"
)

// Change computes the forwards that shall be from those that are. It is pure:
// Update may call it for a dry run.
type Change func(have []Forward) (want []Forward, err error)

// UpdateOptions modify Update.
type UpdateOptions struct {
	Existing Existing
	// XDP is how devices shall use XDP from now on; those that are not named stay
	// as they are.
	XDP XDPModes
	// DryRun computes the Report and changes nothing.
	DryRun bool
	// KeepPrograms leaves programs of another version where they are.
	KeepPrograms bool
}

// Report says what Update did, or with DryRun would do.
type Report struct {
	Added, Removed []Forward
	// Changed are forwards of which only the backends, the choice of own connections, the
	// check, the MSS or the expiry differ,
	// as they are now. Their flows and counters stay.
	Changed []Forward
	Kept    []Forward
	// Expired are forwards that ended by themselves, and were deleted on this occasion.
	// The change did not know of them.
	Expired []Forward
	// Renamed says which forwards have followed a device to its new name, one line each.
	// Notes have these too.
	Renamed []string
	// Loaded is set when the dataplane was not in the kernel before.
	Loaded bool
	// Warnings are whole sentences for standard error, one line each.
	Warnings []string
	// SourceChanges say which backends that stay see another source from now on, and
	// why; one line each. Notes have them, too.
	SourceChanges []string
	// Notes are for standard error too, and no warnings: what was decided for
	// the user, such as the source that a backend sees.
	Notes []string
}

// Traffic counts packets and bytes of one direction as they are on the wire.
type Traffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Connections counts flows of a forward.
type Connections struct {
	Opened uint64 `json:"opened"`
	Active uint64 `json:"active"`
}

// Counters are what happened to a forward since it was added.
type Counters struct {
	Forward     Traffic           `json:"forward"`
	Reverse     Traffic           `json:"reverse"`
	Connections Connections       `json:"connections"`
	Drops       map[string]uint64 `json:"drops"`
}

// ForwardCounters is a forward with its counters.
type ForwardCounters struct {
	Forward
	Counters Counters
	// Uses are what the dataplane does with each of Forward.Backends, in their
	// order.
	Uses []BackendUse
	// Setup is how long backends took to accept connections; of UDP, and of the
	// host's own connections, nothing is known.
	Setup SetupTimes
}

// SetupTimes is how long it took from the SYN of connections to the SYN-ACK, as both
// came by.
type SetupTimes = maps.SetupTimes

// SetupSchema is that of Prometheus's native histograms whose buckets SetupTimes has.
const SetupSchema = maps.SetupSchema

// BackendUse is what the dataplane does with one backend.
type BackendUse struct {
	// What it has had of the forward's traffic since it became a backend of it.
	Forward, Reverse Traffic
	Connections      Connections
	// Masqueraded is set if it sees an address of this host as the client's.
	Masqueraded bool
	// MasqueradeAddress is that address, or the zero Addr for that of the device
	// which leads to the backend.
	MasqueradeAddress netip.Addr
	// SourcePool are the addresses of which each flow has one instead, if there are any.
	SourcePool []netip.Addr
}

// FlowEndpoint is one end of a flow.
type FlowEndpoint struct {
	Address netip.Addr `json:"address"`
	Port    uint16     `json:"port"`
}

// Flow is one live flow as `xfwd flows` shows it.
type Flow struct {
	// Forward identifies the forward by its frontend; Name may be empty.
	Frontend Frontend
	Name     string
	// Client and Destination are what the client's packets bear; Target is
	// where they are sent, Source what the target sees as the client.
	Client, Destination, Source, Target FlowEndpoint
	State                               FlowState
	// Idle is how long ago the last packet of either direction came, to about a second.
	Idle time.Duration
}

// ModeNone is the mode of a hook to which nothing is attached.
const ModeNone = loader.ModeNone

// HookStatus is one place where a program of ours is, or should be, attached.
type HookStatus struct {
	// Device is empty for hooks on the root cgroup.
	Device string `json:"device"`
	// Kind is that of the device, such as veth; JSON does not have it.
	Kind string `json:"-"`
	// Hook is ingress, egress or the name of a socket hook (connect4, …).
	Hook string `json:"hook"`
	// Mode is tcx, clsact, cgroup or native, or ModeNone.
	Mode string `json:"mode"`
	// Why says in a few words why this hook and mode, or why none.
	Why string `json:"why"`
	// Missing is set when nothing is attached although it should be.
	Missing bool `json:"missing"`
}

// FlowTable describes the flow table.
type FlowTable struct {
	MaxFlows    uint32  `json:"maxFlows"`
	Established uint64  `json:"established"`
	Transitory  uint64  `json:"transitory"`
	Evicted     Evicted `json:"evicted"`
}

// Evicted counts entries of the flow table that others have pushed out because it was
// full, when Sweep last looked. A flow has two. Those of the transitory part may be what
// established flows have left there, of which nobody misses anything.
type Evicted struct {
	Established uint64 `json:"established"`
	Transitory  uint64 `json:"transitory"`
}

// MapUse is how full a map of the dataplane is.
type MapUse struct {
	// Name is that of the map in the kernel and of its pin.
	Name              string
	Entries, Capacity uint64
}

// Measurement is what can be measured of an instance at one moment.
type Measurement struct {
	// Loaded is false if there is no dataplane; then there is nothing else.
	Loaded   bool
	Forwards []ForwardCounters
	Flows    FlowTable
	Passes   map[string]uint64
	Drops    map[string]uint64
	Hooks    []HookStatus
	Maps     []MapUse
}

// Status is what `xfwd status` shows.
type Status struct {
	Loaded   bool              `json:"loaded"`
	Version  string            `json:"version"`
	Kernel   string            `json:"kernel"`
	Pins     string            `json:"pins"`
	Forwards int               `json:"forwards"`
	Hooks    []HookStatus      `json:"hooks"`
	Flows    FlowTable         `json:"flows"`
	Passes   map[string]uint64 `json:"passes"`
	Drops    map[string]uint64 `json:"drops"`
	Warnings []string          `json:"warnings"`
}
