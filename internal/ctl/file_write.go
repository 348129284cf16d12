// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"strconv"
	"time"

	"github.com/goccy/go-yaml"
)

// fileDocument is a file as FormatFile writes it.
type fileDocument struct {
	APIVersion string      `yaml:"apiVersion"`
	Forwards   []fileEntry `yaml:"forwards"`
}

// fileEntry is a forward in a file, or the two of tcp+udp. What has its
// default is left out. Ports alone are integers, other words strings.
type fileEntry struct {
	Name      string   `yaml:"name,omitempty"`
	Frontend  any      `yaml:"frontend"`
	Devices   []string `yaml:"devices,flow,omitempty"`
	Backends  []any    `yaml:"backends,flow"`
	Source    Source   `yaml:"source,omitempty"`
	Balance   Balance  `yaml:"balance,omitempty"`
	Affinity  string   `yaml:"affinity,omitempty"`
	Comment   string   `yaml:"comment,omitempty"`
	ExpiresAt string   `yaml:"expiresAt,omitempty"`
}

// FormatFile returns a file of which ParseFile makes the same forwards.
func FormatFile(forwards []Forward) ([]byte, error) {
	sorted := make([]Forward, len(forwards))
	for i, f := range forwards {
		sorted[i] = f.Canonical()
	}
	Sort(sorted)
	twins := map[frontendKey]Forward{}
	for _, f := range sorted {
		if f.Frontend.Protocol == UDP {
			twins[f.Frontend.key()] = f
		}
	}
	document := fileDocument{APIVersion: FileVersion, Forwards: []fileEntry{}}
	merged := map[frontendKey]bool{}
	for _, f := range sorted {
		if merged[f.Frontend.key()] {
			continue
		}
		suffix := ""
		if twin := f.as(UDP); f.Frontend.Protocol == TCP && twin.Equal(twins[twin.Frontend.key()]) {
			merged[twin.Frontend.key()] = true
			suffix = "/tcp+udp"
		} else if f.Frontend.Protocol != TCP {
			suffix = "/" + f.Frontend.Protocol.String()
		}
		document.Forwards = append(document.Forwards, newFileEntry(f, suffix))
	}
	return yaml.MarshalWithOptions(document, yaml.Indent(2), yaml.IndentSequence(true))
}

// as returns the forward with another protocol.
func (f Forward) as(p Protocol) Forward {
	f.Frontend.Protocol = p
	return f
}

// newFileEntry describes a canonical forward; suffix is the protocol, if it
// must be written.
func newFileEntry(f Forward, suffix string) fileEntry {
	e := fileEntry{
		Name:     f.Name,
		Frontend: portOrText(joinAddress(f.Frontend.Address, f.Frontend.Ports.String()) + suffix),
		Devices:  f.Frontend.Devices,
		Comment:  f.Comment,
	}
	for _, b := range f.Backends {
		e.Backends = append(e.Backends, portOrText(b.String()))
	}
	if f.Source != SourceAuto {
		e.Source = f.Source
	}
	if f.Balance != BalanceMaglev {
		e.Balance = f.Balance
	}
	if f.Affinity != 0 {
		e.Affinity = f.Affinity.String()
	}
	if !f.ExpiresAt.IsZero() {
		e.ExpiresAt = f.ExpiresAt.Format(time.RFC3339)
	}
	return e
}

// portOrText makes an integer of what is a port and nothing else.
func portOrText(s string) any {
	if port, err := strconv.ParseUint(s, 10, 16); err == nil {
		return port
	}
	return s
}
