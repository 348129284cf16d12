// SPDX-License-Identifier: Apache-2.0

// Command vmlinux prints, as C, the kernel types that a list names and the
// types that those need, taken from BTF. What it prints depends on the list and
// on the definitions of those types alone, so a header made on one kernel is
// byte for byte the header made on another that defines them alike.
//
// bpftool prints every type of a kernel, some hundred and fifty thousand lines,
// most of which differ between any two kernels. A list keeps the header
// reviewable and its changes meaningful.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/cilium/ebpf/btf"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "vmlinux:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("vmlinux", flag.ContinueOnError)
	path := flags.String("btf", "/sys/kernel/btf/vmlinux", "`file` with BTF: an ELF or raw BTF")
	list := flags.String("types", "", "`file` that lists the types to print")
	kernel := flags.String("kernel", "", "`version` of the kernel that the BTF describes, for the header")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: vmlinux -types FILE [-btf FILE] [-kernel VERSION] [SOURCE...]")
		fmt.Fprintln(flags.Output(), "A listed type that none of the given sources mentions is an error.")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if *list == "" {
		return errors.New("-types is missing")
	}

	wanted, err := readList(*list)
	if err != nil {
		return err
	}
	spec, err := btf.LoadSpec(*path)
	if err != nil {
		return err
	}
	types, err := resolve(spec, wanted)
	if err != nil {
		return fmt.Errorf("%s: %w", *list, err)
	}
	words, err := readWords(flags.Args())
	if err != nil {
		return err
	}
	if err := checkMentioned(wanted, types, words); err != nil {
		return fmt.Errorf("%s: %w", *list, err)
	}
	header, err := printHeader(types, *kernel)
	if err != nil {
		return err
	}
	_, err = stdout.Write(header)
	return err
}
