// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// What a command may take, as a multiple of what another command takes that runs before and
// after it: so a machine that is slow or busy changes nothing. All of it is processor time
// of the command alone, as the median of several runs.
const (
	// addFactor is that of an add, when the dataplane is loaded, and of the start of a
	// program that does nothing.
	addFactor = 8
	// loadFactor is the same when the dataplane must be loaded.
	loadFactor = 120
	// besideFactor is that of an add beside besideForwards others, and of one beside none.
	// By itself it is about three.
	besideFactor, besideForwards = 8, 2_000
	// vethFactor is that of an add beside vethPairs of devices, and of one beside one pair.
	vethFactor, vethPairs = 6, 50

	addRuns = 10
)

// xfwd add takes little more than a program that starts, and what is there already costs
// an add little.
func TestAddIsQuick(t *testing.T) {
	lan := lab.New(t).Direct()
	lan.Host.Echo("tcp", ":30080")
	x := lan.Host.XFWD()
	port := 1000
	add := func() lab.Result {
		port++
		return x.Add(strconv.Itoa(port), "30080")
	}
	version := func() lab.Result { return x.Do("version") }

	compare(t, "loading", loadFactor, version, func() lab.Result {
		x.Do("unload")
		return add()
	})
	compare(t, "loaded", addFactor, version, add)

	// A second namespace has what the first one has not.
	l := lab.New(t)
	crowded := l.Direct()
	crowded.Host.Echo("tcp", ":30080")
	full := crowded.Host.XFWD()
	full.Add("80", "30080")
	beside := func() lab.Result {
		port++
		return full.Add(strconv.Itoa(port), "30080")
	}
	for i := range vethPairs {
		l.Veth(crowded.Host, fmt.Sprintf("h%d", i), crowded.Client, fmt.Sprintf("c%d", i), 1500)
	}
	compare(t, "beside devices", vethFactor, add, beside)
	var file strings.Builder
	file.WriteString("apiVersion: xfwd/v1\nforwards:\n")
	for i := range besideForwards {
		fmt.Fprintf(&file, "  - {frontend: %d, backends: [30080]}\n", 20_000+i)
	}
	path := filepath.Join(t.TempDir(), "forwards.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	full.Do("apply", "-f", path)
	compare(t, "beside forwards", besideFactor, add, beside)
}

// compare compares the processor time of two commands, which run in turns.
func compare(t *testing.T, name string, factor float64, base, run func() lab.Result) {
	t.Helper()
	var bases, runs []time.Duration
	for range addRuns {
		bases = append(bases, base().CPU)
		runs = append(runs, run().CPU)
	}
	slices.Sort(bases)
	slices.Sort(runs)
	is, of := runs[addRuns/2], bases[addRuns/2]
	t.Logf("%s: %v of the processor, %.1f times %v", name, is, is.Seconds()/of.Seconds(), of)
	if is.Seconds() > factor*of.Seconds() {
		t.Errorf("%s: xfwd add takes %v of the processor, more than %v times %v", name, is, factor, of)
	}
}
