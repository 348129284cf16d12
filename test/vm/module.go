// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/elf"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed modules
var moduleList string

// moduleFiles returns the files of the modules of the list, and of those that
// they depend on, in the order in which they can be loaded.
func (k *kernel) moduleFiles(list string) ([]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(k.modules, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".ko") {
			files[moduleName(path)] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	builtin := map[string]bool{}
	content, err := os.ReadFile(filepath.Join(k.modules, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	for path := range strings.Lines(string(content)) {
		builtin[moduleName(strings.TrimSpace(path))] = true
	}

	var order []string
	var add func(name string) error
	add = func(name string) error {
		name, optional := strings.CutSuffix(name, "?")
		file, found := files[name]
		switch {
		case builtin[name] || !found && optional || slices.Contains(order, file):
			return nil
		case !found:
			return fmt.Errorf("%s has no module %s", k.release, name)
		}
		needs, err := dependencies(file)
		if err != nil {
			return err
		}
		for _, need := range needs {
			if err := add(need); err != nil {
				return err
			}
		}
		order = append(order, file)
		return nil
	}
	for _, fields := range fieldsOfLines(list) {
		if err := add(fields[0]); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// moduleName is the name of a module in a file; dashes and underscores mean the
// same.
func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}

// dependencies are the modules without which one cannot be loaded.
func dependencies(file string) ([]string, error) {
	module, err := elf.Open(file)
	if err != nil {
		return nil, err
	}
	defer module.Close()
	section := module.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("%s has no section .modinfo", file)
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range strings.SplitSeq(string(info), "\x00") {
		if depends, ok := strings.CutPrefix(field, "depends="); ok {
			names := strings.FieldsFunc(depends, func(r rune) bool { return r == ',' })
			for i := range names {
				names[i] = moduleName(names[i])
			}
			return names, nil
		}
	}
	return nil, nil
}
