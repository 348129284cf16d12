// SPDX-License-Identifier: Apache-2.0

package lab

import "time"

// The types below are xfwd's JSON as its users see it. They are written down
// here a second time on purpose: a change of the program's own types that
// breaks scripts must break tests.

// Forward is an entry of `xfwd list -o json`.
type Forward struct {
	Name            string     `json:"name"`
	Frontend        Frontend   `json:"frontend"`
	Backends        []Backend  `json:"backends"`
	Source          string     `json:"source"`
	Balance         string     `json:"balance"`
	AffinitySeconds int        `json:"affinitySeconds"`
	Own             string     `json:"own"`
	Check           *Check     `json:"check"`
	Comment         string     `json:"comment"`
	ExpiresAt       *time.Time `json:"expiresAt"`
	Counters        Counters   `json:"counters"`
	Setup           *Setup     `json:"setup"`
}

// Frontend is what clients address.
type Frontend struct {
	Protocol string   `json:"protocol"`
	Address  string   `json:"address"`
	Port     uint16   `json:"port"`
	PortEnd  uint16   `json:"portEnd"`
	Devices  []string `json:"devices"`
}

// Backend is where a forward hands its traffic.
type Backend struct {
	Address string `json:"address"`
	Port    uint16 `json:"port"`
	PortEnd uint16 `json:"portEnd"`
	Weight  uint16 `json:"weight"`
	State   string `json:"state"`
	Health  string `json:"health"`
	// Active counts its connections.
	Active   uint64          `json:"active"`
	Counters BackendCounters `json:"counters"`
}

// BackendCounters are what a backend has had of its forward's traffic.
type BackendCounters struct {
	Forward     Traffic     `json:"forward"`
	Reverse     Traffic     `json:"reverse"`
	Connections Connections `json:"connections"`
}

// Setup is how long connections of a forward took to be accepted.
type Setup struct {
	Connections uint64  `json:"connections"`
	SumSeconds  float64 `json:"sumSeconds"`
	P50Seconds  float64 `json:"p50Seconds"`
	P99Seconds  float64 `json:"p99Seconds"`
}

// Check is how the backends of a forward are looked after.
type Check struct {
	Kind            string  `json:"kind"`
	Path            string  `json:"path"`
	Port            uint16  `json:"port"`
	IntervalSeconds float64 `json:"intervalSeconds"`
	TimeoutSeconds  float64 `json:"timeoutSeconds"`
	Rise            int     `json:"rise"`
	Fall            int     `json:"fall"`
}

// Counters are a forward's.
type Counters struct {
	Forward     Traffic           `json:"forward"`
	Reverse     Traffic           `json:"reverse"`
	Connections Connections       `json:"connections"`
	Drops       map[string]uint64 `json:"drops"`
}

// Traffic counts packets and bytes of one direction, as on the wire.
type Traffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Connections counts flows.
type Connections struct {
	Opened uint64 `json:"opened"`
	Active uint64 `json:"active"`
}

// Flow is an entry of `xfwd flows -o json`.
type Flow struct {
	Name        string   `json:"name"`
	Frontend    Frontend `json:"frontend"`
	Client      Endpoint `json:"client"`
	Destination Endpoint `json:"destination"`
	Source      Endpoint `json:"source"`
	Target      Endpoint `json:"target"`
	State       string   `json:"state"`
}

// Endpoint is one end of a flow.
type Endpoint struct {
	Address string `json:"address"`
	Port    uint16 `json:"port"`
}

// Status is `xfwd status -o json`.
type Status struct {
	Loaded   bool              `json:"loaded"`
	Version  string            `json:"version"`
	Kernel   string            `json:"kernel"`
	Pins     string            `json:"pins"`
	Forwards int               `json:"forwards"`
	Hooks    []Hook            `json:"hooks"`
	Flows    FlowTable         `json:"flows"`
	Passes   map[string]uint64 `json:"passes"`
	Drops    map[string]uint64 `json:"drops"`
	Warnings []string          `json:"warnings"`
}

// Hook is one place where a program of xfwd is, or is not, attached.
type Hook struct {
	Device  string `json:"device"`
	Hook    string `json:"hook"`
	Mode    string `json:"mode"`
	Why     string `json:"why"`
	Missing bool   `json:"missing"`
}

// FlowTable describes the flow table.
type FlowTable struct {
	MaxFlows    uint32 `json:"maxFlows"`
	Established uint64 `json:"established"`
	Transitory  uint64 `json:"transitory"`
	Evicted     struct {
		Established uint64 `json:"established"`
		Transitory  uint64 `json:"transitory"`
	} `json:"evicted"`
}
