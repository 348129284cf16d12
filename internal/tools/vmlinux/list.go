// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// entry is one line of a list: a kind and a name. The kinds are those of C
// (struct, union, enum, typedef), and enumerator, which names an enum that has
// no name of its own by one of its values.
type entry struct {
	kind, name string
	line       int
}

func (e entry) String() string { return e.kind + " " + e.name }

// readList reads a list: one entry a line, # begins a comment.
func readList(path string) ([]entry, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	entries, err := parseList(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return entries, nil
}

func parseList(text string) ([]entry, error) {
	var entries []entry
	seen := map[string]int{}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("line %d: want a kind and a name, not %q", i+1, strings.TrimSpace(line))
		}
		e := entry{kind: fields[0], name: fields[1], line: i + 1}
		switch e.kind {
		case "struct", "union", "enum", "typedef", "enumerator":
		default:
			return nil, fmt.Errorf("line %d: %q is none of struct, union, enum, typedef, enumerator", e.line, e.kind)
		}
		if first, ok := seen[e.String()]; ok {
			return nil, fmt.Errorf("line %d: %s is on line %d already", e.line, e, first)
		}
		seen[e.String()] = e.line
		entries = append(entries, e)
	}
	return entries, nil
}

// readWords returns the words of all files.
func readWords(paths []string) (map[string]bool, error) {
	words := map[string]bool{}
	word := regexp.MustCompile(`\w+`)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for _, w := range word.FindAllString(string(text), -1) {
			words[w] = true
		}
	}
	return words, nil
}

// checkMentioned returns an error for every entry whose name is not among
// words, and for an enum neither a value of it, so that a list never holds more
// than the programs use. Without words there is nothing to check.
func checkMentioned(entries []entry, types []btf.Type, words map[string]bool) error {
	if len(words) == 0 {
		return nil
	}
	var errs []error
	for i, e := range entries {
		mentioned := words[e.name]
		if enum, ok := types[i].(*btf.Enum); ok {
			for _, v := range enum.Values {
				mentioned = mentioned || words[v.Name]
			}
		}
		if !mentioned {
			errs = append(errs, fmt.Errorf("line %d: no source mentions %s: remove it", e.line, e))
		}
	}
	return errors.Join(errs...)
}

// resolve returns the type of every entry, in the same order.
func resolve(spec *btf.Spec, entries []entry) ([]btf.Type, error) {
	anonymous, err := enumerators(spec)
	if err != nil {
		return nil, err
	}
	var types []btf.Type
	var errs []error
	for _, e := range entries {
		typ, err := find(spec, anonymous, e)
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %s: %w", e.line, e, err))
			continue
		}
		types = append(types, typ)
	}
	return types, errors.Join(errs...)
}

func find(spec *btf.Spec, anonymous map[string]*btf.Enum, e entry) (btf.Type, error) {
	switch e.kind {
	case "struct":
		return typeByName[*btf.Struct](spec, e.name)
	case "union":
		return typeByName[*btf.Union](spec, e.name)
	case "enum":
		return typeByName[*btf.Enum](spec, e.name)
	case "typedef":
		return typeByName[*btf.Typedef](spec, e.name)
	}
	if enum, ok := anonymous[e.name]; ok {
		return enum, nil
	}
	return nil, errors.New("no enum without a name has it")
}

func typeByName[T btf.Type](spec *btf.Spec, name string) (btf.Type, error) {
	var typ T
	err := spec.TypeByName(name, &typ)
	return typ, err
}

// enumerators maps the values of enums without a name to their enum. The first
// of several wins, which keeps the result the same from run to run.
func enumerators(spec *btf.Spec) (map[string]*btf.Enum, error) {
	found := map[string]*btf.Enum{}
	for typ, err := range spec.All() {
		if err != nil {
			return nil, err
		}
		enum, ok := typ.(*btf.Enum)
		if !ok || enum.Name != "" {
			continue
		}
		for _, v := range enum.Values {
			if _, taken := found[v.Name]; !taken {
				found[v.Name] = enum
			}
		}
	}
	return found, nil
}
