// SPDX-License-Identifier: Apache-2.0

package bpf_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/xfwd/xfwd/bpf"
	xfwd "github.com/xfwd/xfwd/internal/maps"
)

var update = flag.Bool("update", false, "write down the layout anew, as far as its version allows")

// layoutFile describes the layout of one version. It is committed, so that a change shows.
func layoutFile(version int) string {
	return filepath.Join("testdata", fmt.Sprintf("layout-%d.txt", version))
}

// programsFile is the object of the first build with a layout. The tests of upgrades load
// it as the build before, so it stays as it is while the layout has this version.
func programsFile(version int) string {
	return filepath.Join("..", "test", "e2e", "testdata", fmt.Sprintf("programs-%d.o.gz", version))
}

// Dataplanes outlive upgrades, so maps of one build are read by commands and programs of
// another one. They agree on the layout if they agree on its version.
func TestLayoutChangesWithItsVersion(t *testing.T) {
	now := currentLayout(t)
	path := layoutFile(xfwd.Layout)
	committed, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && *update:
		write(t, path, []byte(now))
	case errors.Is(err, fs.ErrNotExist):
		t.Errorf("%s is missing: run `go test ./bpf -update` and commit what it writes", fromRoot(path))
	case err != nil:
		t.Fatal(err)
	default:
		compareLayouts(t, path, string(committed), now)
	}
	if _, err := os.Stat(programsFile(xfwd.Layout)); errors.Is(err, fs.ErrNotExist) {
		if !*update {
			t.Fatalf("%s is missing: run `go test ./bpf -update` and commit what it writes", fromRoot(programsFile(xfwd.Layout)))
		}
		writePrograms(t)
	}
}

// fromRoot is a path as a reader of the repository writes it.
func fromRoot(path string) string { return filepath.Join("bpf", path) }

func compareLayouts(t *testing.T, path, committed, now string) {
	t.Helper()
	gone, come := difference(committed, now)
	switch {
	case committed == now:
	case !compatible(committed, now):
		t.Errorf(`the layout differs from %s, but LAYOUT_VERSION is still %d:
%s%sA dataplane of an older build would be misread. Raise LAYOUT_VERSION in bpf/abi.h and Layout in
internal/maps/settings.go, then run `+"`make generate` and `go test ./bpf -update`"+`, and commit what it writes.
If no release had layout %[2]d, remove %[1]s and %[5]s instead of raising the version.`,
			fromRoot(path), xfwd.Layout, marked("- ", gone), marked("+ ", come), fromRoot(programsFile(xfwd.Layout)))
	case *update:
		write(t, path, []byte(now))
	default:
		t.Errorf("%s lacks new values, which need no new layout: run `go test ./bpf -update` and commit what it writes\n%s",
			fromRoot(path), marked("+ ", come))
	}
}

// compatible says whether builds with these layouts can share a dataplane: all that
// differs are values of enums that only the newer one has.
func compatible(older, newer string) bool {
	gone, come := difference(older, newer)
	if len(gone) > 0 {
		return false
	}
	had := make(map[string]bool)
	count := make(map[string]int)
	for _, line := range strings.Split(older, "\n") {
		if enum, name, value, ok := enumValue(line); ok {
			had[fmt.Sprint(enum, " ", value)] = true
			if strings.HasSuffix(name, "_COUNT") {
				count[enum] = value
			}
		}
	}
	for _, line := range come {
		enum, _, value, ok := enumValue(line)
		if size, sized := count[enum]; !ok || had[fmt.Sprint(enum, " ", value)] || sized && value >= size {
			return false
		}
	}
	return true
}

// enumValue reads a line that describes a value of an enum.
func enumValue(line string) (enum, name string, value int, ok bool) {
	n, err := fmt.Sscanf(line, "enum %s %s = %d", &enum, &name, &value)
	return enum, name, value, err == nil && n == 3
}

// difference returns the lines that are in one text only. Lines are unique.
func difference(older, newer string) (gone, come []string) {
	before, after := strings.Split(older, "\n"), strings.Split(newer, "\n")
	for _, line := range before {
		if !slices.Contains(after, line) {
			gone = append(gone, line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			come = append(come, line)
		}
	}
	return gone, come
}

func marked(mark string, lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(mark + line + "\n")
	}
	return b.String()
}

func TestCompatibleLayouts(t *testing.T) {
	t.Parallel()
	const older = "map m: hash, key 4\nstruct s: 0 a __u32\nenum e A = 0\nenum e B = 2\nenum e E_COUNT = 8\nenum f C = 1\n"
	for name, c := range map[string]struct {
		old, new string
		want     bool
	}{
		"the same":                   {"", "", true},
		"a new value":                {"enum e B", "enum e N = 1\nenum e B", true},
		"the last number with room":  {"enum e B", "enum e N = 7\nenum e B", true},
		"one behind it":              {"enum e B", "enum e N = 9\nenum e B", false},
		"a new value without a size": {"enum f C", "enum f D = 100\nenum f C", true},
		"a number with another name": {"enum e B = 2", "enum e N = 2", false},
		"a number with two names":    {"enum e B", "enum e N = 2\nenum e B", false},
		"a value inserted":           {"enum e B = 2", "enum e N = 2\nenum e B = 3", false},
		"a value removed":            {"enum e B = 2\n", "", false},
		"another size":               {"COUNT = 8", "COUNT = 9", false},
		"another map":                {"map m", "map n: hash\nmap m", false},
		"another key":                {"key 4", "key 8", false},
		"another field":              {"__u32", "__u64", false},
	} {
		if got := compatible(older, strings.Replace(older, c.old, c.new, 1)); got != c.want {
			t.Errorf("%s: compatible is %v, want %v", name, got, c.want)
		}
	}
}

// The control plane and abi.h have the same version, and the settings have what tells
// layouts apart where every version has it.
func TestLayoutIsRecognised(t *testing.T) {
	t.Parallel()
	want := fmt.Sprintf("#define LAYOUT_VERSION %d\n", xfwd.Layout)
	if header := header(t); !strings.Contains(header, want) {
		t.Errorf("abi.h does not have the version of internal/maps/settings.go: %q", want)
	}
	for _, field := range []string{"struct settings: 40 layout __u32\n", "struct settings: 48 netns_cookie __u64\n"} {
		if !strings.Contains(currentLayout(t), field) {
			t.Errorf("the layout does not have %q: it must not move", field)
		}
	}
}

func header(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("abi.h")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// writePrograms keeps the object for little-endian machines.
func writePrograms(t *testing.T) {
	t.Helper()
	object, err := os.ReadFile("xfwd_bpfel.o")
	if err != nil {
		t.Fatal(err)
	}
	var compressed bytes.Buffer
	w, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(object); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, programsFile(xfwd.Layout), compressed.Bytes())
}

// currentLayout describes all that builds share, from the type information of the compiled
// programs: maps, the structures in them, and the values of abi.h's enums.
func currentLayout(t *testing.T) string {
	t.Helper()
	spec, err := bpf.LoadXfwd()
	if err != nil {
		t.Fatal(err)
	}
	l := layout{t: t, structs: make(map[string]*btf.Struct)}
	l.printf("# What maps, commands and programs of layout %d share. `go test ./bpf` tells how to change it.\n\n",
		xfwd.Layout)
	for _, name := range slices.Sorted(maps.Keys(spec.Maps)) {
		// The constants of a build, which are in no pin.
		if !strings.HasPrefix(name, ".") {
			l.addMap(name, spec.Maps[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.structs)) {
		l.addStruct(l.structs[name])
	}
	declared := regexp.MustCompile(`(?m)^enum (\w+) \{`).FindAllStringSubmatch(header(t), -1)
	for _, match := range declared {
		var enum *btf.Enum
		if err := spec.Types.TypeByName(match[1], &enum); err != nil {
			t.Fatalf("enum %s of abi.h is not in the type information: add it to abi_enums in xfwd.c: %v", match[1], err)
		}
		l.addEnum(enum)
	}
	return l.text.String()
}

type layout struct {
	t       *testing.T
	text    strings.Builder
	structs map[string]*btf.Struct
}

func (l *layout) printf(format string, args ...any) {
	fmt.Fprintf(&l.text, format, args...)
}

// innerMap follows the name of a map in the name of the maps in it.
const innerMap = " (inner)"

// sizedWhenMade are maps that the control plane makes as large as it must be.
var sizedWhenMade = []string{"flows_established", "flows_transitory", "backend_tables" + innerMap}

func (l *layout) addMap(name string, m *ebpf.MapSpec) {
	l.t.Helper()
	entries := fmt.Sprint(m.MaxEntries)
	if slices.Contains(sizedWhenMade, name) {
		entries = "sized when made"
	}
	l.printf("map %s: %v, entries %s, flags %#x, key %d %s, value %d %s\n", name, m.Type, entries, m.Flags,
		m.KeySize, l.content(name, m.Key), m.ValueSize, l.content(name, m.Value))
	if m.InnerMap != nil {
		l.addMap(name+innerMap, m.InnerMap)
	}
}

// content names the type of a key or value. What is in scratches is one packet's, so
// programs of several builds share the room and no field.
func (l *layout) content(name string, typ btf.Type) string {
	l.t.Helper()
	if typ == nil || name == "scratches" {
		return "bytes"
	}
	return l.typeName(typ)
}

// typeName names a type as C does, and notes the structures that it consists of.
func (l *layout) typeName(typ btf.Type) string {
	l.t.Helper()
	switch typ := typ.(type) {
	case *btf.Struct:
		l.structs[typ.Name] = typ
		for _, member := range typ.Members {
			l.typeName(member.Type)
		}
		return "struct " + typ.Name
	case *btf.Array:
		return fmt.Sprintf("%s[%d]", l.typeName(typ.Type), typ.Nelems)
	case *btf.Typedef:
		// As it is written: __be16 is another matter than __u16.
		return typ.Name
	case *btf.Int:
		return typ.Name
	}
	l.t.Fatalf("%v: a type that no layout has had yet", typ)
	return ""
}

func (l *layout) addStruct(s *btf.Struct) {
	l.t.Helper()
	l.printf("\nstruct %s: %d bytes\n", s.Name, s.Size)
	for _, member := range s.Members {
		l.printf("struct %s: %d %s %s\n", s.Name, member.Offset.Bytes(), member.Name, l.typeName(member.Type))
	}
}

func (l *layout) addEnum(enum *btf.Enum) {
	l.printf("\nenum %s: %d bytes\n", enum.Name, enum.Size)
	for _, value := range enum.Values {
		l.printf("enum %s %s = %d\n", enum.Name, value.Name, value.Value)
	}
}
