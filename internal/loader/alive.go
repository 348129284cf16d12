// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
)

// alivePin, in a namespace's directory, is a map that tells for certain whether the
// namespace exists, from whichever mount and process namespace one asks. It maps zero to
// the loopback device of the namespace. The kernel removes the entry with the device, and
// the device with the namespace, never before. The map is frozen, so that nobody else can.
// Pinned links do not tell: one that somebody has detached looks like one whose device is
// gone.
const alivePin = "alive"

// loopbackIfindex is that of lo in all namespaces (LOOPBACK_IFINDEX in the kernel).
const loopbackIfindex = 1

// pinAlive makes the map of a namespace, unless it is there.
func pinAlive(namespace *Namespace, directory string) error {
	path := filepath.Join(directory, alivePin)
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "xfwd_alive", Type: ebpf.DevMap, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return explain("make the map "+alivePin, err)
	}
	defer m.Close()
	err = namespace.Do(func() error { return m.Put(uint32(0), uint32(loopbackIfindex)) })
	if err == nil {
		err = m.Freeze()
	}
	if err == nil {
		err = m.Pin(path)
	}
	return explain("fill the map "+alivePin, err)
}

// isGone says whether the namespace of a directory does not exist any more. It does where
// that is not certain, as with dataplanes of versions that did not make the map.
func isGone(directory string) bool {
	m, err := ebpf.LoadPinnedMap(filepath.Join(directory, alivePin), nil)
	if err != nil {
		return false
	}
	defer m.Close()
	if m.Type() != ebpf.DevMap {
		return false
	}
	var ifindex uint32
	return errors.Is(m.Lookup(uint32(0), &ifindex), ebpf.ErrKeyNotExist)
}

// tidy removes what killed commands have left, and the dataplanes of namespaces that are
// gone, which take memory and a place on the root cgroup each.
func (s *Session) tidy() error {
	entries, err := os.ReadDir(s.root)
	if err != nil {
		return explain("list "+s.root, err)
	}
	for _, entry := range entries {
		path := filepath.Join(s.root, entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), loadingPrefix), strings.HasPrefix(entry.Name(), unloadingPrefix):
		case strings.HasPrefix(entry.Name(), namespacePrefix) && isGone(path):
			if err := detachLinks(filepath.Join(path, linkPins), s.loader.progress); err != nil {
				return err
			}
		default:
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return explain("remove "+path, err)
		}
	}
	return nil
}
