// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// deviceWord is by what a forward means devices: a name or a pattern, and what the device
// of that name was.
type deviceWord struct {
	word  string
	known maps.KnownDevice
}

// deviceMeaning is what a deviceWord means on a host.
type deviceMeaning struct {
	// ifindexes are the devices that the word means.
	ifindexes []int
	// is describes the device that has the name, and called is the name of the device that
	// was known.
	is     maps.KnownDevice
	called string
}

// on returns what the word means among devices.
func (w deviceWord) on(devices *loader.Devices) deviceMeaning {
	called, _ := devices.Recognise(w.known)
	return deviceMeaning{devicesOf(devices, w.word), devices.Know(w.word), called}
}

func (m deviceMeaning) equal(o deviceMeaning) bool {
	return slices.Equal(m.ifindexes, o.ifindexes) && m.is == o.is && m.called == o.called
}

// devicesOf returns the devices that are there for a word, by ifindex.
func devicesOf(devices *loader.Devices, word string) []int {
	if prefix, isPattern := pattern(word); isPattern {
		return devices.Beginning(prefix)
	}
	if ifindex, found := devices.Ifindex(word); found {
		return []int{ifindex}
	}
	return nil
}
