// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/test/lab"
)

// mapMemory is what the kernel says that all maps of the dataplane take, in
// bytes.
func (b *programBench) mapMemory() (total uint64) {
	pins, err := filepath.Glob(filepath.Join(b.pins, "maps", "*"))
	if err != nil || len(pins) == 0 {
		b.tb.Fatalf("no maps in %s (%v)", b.pins, err)
	}
	for _, pin := range pins {
		m, err := ebpf.LoadPinnedMap(pin, nil)
		if err != nil {
			b.tb.Fatalf("%v", err)
		}
		total += procField(b.tb, fmt.Sprintf("/proc/self/fdinfo/%d", m.FD()), "memlock")
		m.Close()
	}
	return total
}

// availableMemory is what the machine has left, in bytes.
func availableMemory(tb lab.TB) int64 {
	return int64(procField(tb, "/proc/meminfo", "MemAvailable")) << 10
}

// procField is a number in a file of /proc with lines such as "name: number".
func procField(tb lab.TB, file, name string) uint64 {
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != name+":" {
			continue
		}
		if n, err := strconv.ParseUint(words[1], 10, 64); err == nil {
			return n
		}
	}
	tb.Fatalf("%s: no %s", file, name)
	return 0
}
