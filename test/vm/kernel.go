// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed kernels
var kernelList string

// kernel is a kernel to test on.
type kernel struct {
	// name is ours; suite and pkg say where Debian has it.
	name, suite, pkg string
	// image is the file that boots, release what `uname -r` prints there, and
	// modules the directory of its modules; known once the kernel is fetched.
	image, release, modules string
}

// listKernels returns the kernels of the list whose names match.
func listKernels(list string, match *regexp.Regexp) ([]kernel, error) {
	var kernels []kernel
	for _, fields := range fieldsOfLines(list) {
		if len(fields) != 3 {
			return nil, fmt.Errorf("kernels: %q is not a name, a suite and a package", strings.Join(fields, " "))
		}
		if match.MatchString(fields[0]) {
			kernels = append(kernels, kernel{name: fields[0], suite: fields[1], pkg: fields[2]})
		}
	}
	if len(kernels) == 0 {
		return nil, fmt.Errorf("no kernel is called %s", match)
	}
	return kernels, nil
}

// fieldsOfLines splits a file of words, where a hash begins a comment.
func fieldsOfLines(text string) (lines [][]string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 0 {
			lines = append(lines, fields)
		}
	}
	return lines
}

// kernelPackages are the packages of which a kernel consists; others that it
// depends on serve to install and boot it.
var kernelPackages = regexp.MustCompile(`(?m)^linux-(image|binary|modules|base)-\S+$`)

// fetch makes sure that the kernel is in the cache.
func (k *kernel) fetch(ctx context.Context, c cache) error {
	dir, err := c.get(ctx, filepath.Join("kernel-"+k.suite+"-"+k.pkg), []string{k.suite}, func(a apt) error {
		depends, err := a.run(ctx, "apt-cache", "depends", "--recurse", "--important", k.pkg)
		if err != nil {
			return err
		}
		packages := kernelPackages.FindAllString(depends, -1)
		return a.download(ctx, packages)
	}, unpackModules)
	if err != nil {
		return err
	}
	return k.locate(dir)
}

// locate finds the parts of an unpacked kernel: they are not in the same place in
// every suite.
func (k *kernel) locate(dir string) error {
	modules, err := filepath.Glob(filepath.Join(dir, "lib", "modules", "*"))
	if err != nil {
		return err
	}
	merged, err := filepath.Glob(filepath.Join(dir, "usr", "lib", "modules", "*"))
	if err != nil {
		return err
	}
	if modules = append(modules, merged...); len(modules) != 1 {
		return fmt.Errorf("%s has %d kernels, not one", dir, len(modules))
	}
	k.modules = modules[0]
	k.release = filepath.Base(k.modules)
	for _, image := range []string{filepath.Join(dir, "boot", "vmlinuz-"+k.release), filepath.Join(k.modules, "vmlinuz")} {
		if _, err = os.Stat(image); err == nil {
			k.image = image
			return nil
		}
	}
	return err
}

// unpackModules replaces compressed modules, so that neither we nor the guest
// have to.
func unpackModules(dir string) error {
	var files []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".ko.xz") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		return err
	}
	_, err = output(exec.Command("xz", append([]string{"--decompress", "--"}, files...)...))
	return err
}
