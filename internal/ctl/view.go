// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"net/netip"
	"time"
)

// ForwardView is a forward as JSON shows it.
type ForwardView struct {
	Name     string        `json:"name"`
	Frontend FrontendView  `json:"frontend"`
	Backends []BackendView `json:"backends"`
	Source   Source        `json:"source"`
	// SourceAddresses are left out where there are none.
	SourceAddresses []string `json:"sourceAddresses,omitempty"`
	Balance         Balance  `json:"balance"`
	AffinitySeconds int64    `json:"affinitySeconds"`
	// AffinityGroup is left out where there is none.
	AffinityGroup string `json:"affinityGroup,omitempty"`
	Own           Own    `json:"own"`
	// Check is null for none.
	Check *CheckView `json:"check"`
	// MSS is auto, off or a number of bytes.
	MSS     string `json:"mss"`
	Comment string `json:"comment"`
	// ExpiresAt is null for never.
	ExpiresAt *time.Time `json:"expiresAt"`
	// Counters are left out where they were not read.
	Counters *Counters `json:"counters,omitempty"`
	// Setup is left out where no connection was measured.
	Setup *SetupView `json:"setup,omitempty"`
}

// SetupView is how long connections took to be accepted, as JSON shows it.
type SetupView struct {
	Connections uint64  `json:"connections"`
	SumSeconds  float64 `json:"sumSeconds"`
	// Half of the connections took at most P50Seconds, and 99 of a hundred P99Seconds.
	P50Seconds float64 `json:"p50Seconds"`
	P99Seconds float64 `json:"p99Seconds"`
}

// FrontendView is a frontend as JSON shows it.
type FrontendView struct {
	Protocol string `json:"protocol"`
	// Address is empty for every address of the host.
	Address string   `json:"address"`
	Port    uint16   `json:"port"`
	PortEnd uint16   `json:"portEnd"`
	Devices []string `json:"devices"`
}

// BackendView is a backend as JSON shows it.
type BackendView struct {
	// Address is empty for this host.
	Address string       `json:"address"`
	Port    uint16       `json:"port"`
	PortEnd uint16       `json:"portEnd"`
	Weight  uint16       `json:"weight"`
	State   BackendState `json:"state"`
	// Health is empty while nothing is known, and without a check.
	Health Health `json:"health"`
	// Active is how many connections the backend has; it is left out where
	// that was not read, and so are Counters.
	Active   *uint64          `json:"active,omitempty"`
	Counters *BackendCounters `json:"counters,omitempty"`
}

// BackendCounters are what a backend has had of its forward's traffic, as JSON shows it.
type BackendCounters struct {
	Forward     Traffic     `json:"forward"`
	Reverse     Traffic     `json:"reverse"`
	Connections Connections `json:"connections"`
}

// CheckView is a check as JSON shows it.
type CheckView struct {
	Kind CheckKind `json:"kind"`
	// Path is empty unless the kind is http.
	Path string `json:"path"`
	// Port is 0 for the backend's.
	Port            uint16  `json:"port"`
	IntervalSeconds float64 `json:"intervalSeconds"`
	TimeoutSeconds  float64 `json:"timeoutSeconds"`
	Rise            uint8   `json:"rise"`
	Fall            uint8   `json:"fall"`
}

// View returns the forward as JSON shows it, without counters.
func (f Forward) View() ForwardView {
	f = f.Canonical()
	v := ForwardView{
		Name:            f.Name,
		Frontend:        f.Frontend.View(),
		Backends:        []BackendView{},
		Source:          f.Source,
		SourceAddresses: words(f.SourceAddresses),
		Balance:         f.Balance,
		AffinitySeconds: int64(f.Affinity / time.Second),
		MSS:             f.MSS.String(),
		AffinityGroup:   f.AffinityGroup,
		Own:             f.Own,
		Comment:         f.Comment,
	}
	for _, b := range f.Backends {
		v.Backends = append(v.Backends, BackendView{
			Address: addressView(b.Address),
			Port:    b.Ports.First,
			PortEnd: b.Ports.Last,
			Weight:  b.Weight,
			State:   b.State,
			Health:  b.Health,
		})
	}
	if c := f.Check; c != (Check{}) {
		v.Check = &CheckView{c.Kind, c.Path, c.Port, c.Interval.Seconds(), c.Timeout.Seconds(), c.Rise, c.Fall}
	}
	if !f.ExpiresAt.IsZero() {
		v.ExpiresAt = &f.ExpiresAt
	}
	return v
}

// CountersView returns the forward as JSON shows it, with counters.
func (f ForwardCounters) CountersView() ForwardView {
	v := f.View()
	c := f.Counters
	if c.Drops == nil {
		c.Drops = map[string]uint64{}
	}
	v.Counters = &c
	if connections := f.Setup.Connections(); connections > 0 {
		v.Setup = &SetupView{
			Connections: connections,
			SumSeconds:  f.Setup.Sum.Seconds(),
			P50Seconds:  f.Setup.Within(0.5).Seconds(),
			P99Seconds:  f.Setup.Within(0.99).Seconds(),
		}
	}
	for i, use := range f.Uses {
		v.Backends[i].Active = &use.Connections.Active
		v.Backends[i].Counters = &BackendCounters{use.Forward, use.Reverse, use.Connections}
	}
	return v
}

// CountersViews are forwards as JSON shows them, with counters.
func CountersViews(counted []ForwardCounters) []ForwardView {
	views := []ForwardView{}
	for _, f := range counted {
		views = append(views, f.CountersView())
	}
	return views
}

// View returns the frontend as JSON shows it.
func (f Frontend) View() FrontendView {
	v := FrontendView{
		Protocol: f.Protocol.String(),
		Address:  addressView(f.Address),
		Port:     f.Ports.First,
		PortEnd:  f.Ports.Last,
		Devices:  []string{},
	}
	v.Devices = append(v.Devices, f.Devices...)
	return v
}

func addressView(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
