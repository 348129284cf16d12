// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// tools are the programs that tests start, which `hack/setup.sh test` installs.
var tools = []string{
	"bpftool", "curl", "dig", "grep", "ip", "iperf3", "ipvsadm", "mount", "nft", "nginx", "setpriv", "sh", "tc", "tracepath",
	"umount", "unshare", "wg",
}

// toolData is what tools read.
var toolData = []string{"/etc/iproute2", "/usr/share/iproute2"}

// where administrators' programs are, which not every user's PATH has.
const adminPath = ":/usr/local/sbin:/usr/sbin:/sbin"

// addTools adds the tools of this machine, with the libraries that they need.
func addTools(c *cpio) error {
	if err := os.Setenv("PATH", os.Getenv("PATH")+adminPath); err != nil {
		return err
	}
	for _, tool := range tools {
		file, err := exec.LookPath(tool)
		if err != nil {
			return fmt.Errorf("%w; hack/setup.sh test installs it", err)
		}
		c.file("/bin/"+tool, file)
		libraries, err := librariesOf(file)
		if err != nil {
			return err
		}
		for _, library := range libraries {
			c.file(library, library)
		}
	}
	for _, data := range toolData {
		if _, err := os.Stat(data); err == nil {
			c.tree(data, data)
		}
	}
	return nil
}

// librariesOf returns the program interpreter and the libraries of a program, as
// the interpreter itself finds them.
func librariesOf(program string) ([]string, error) {
	interpreter, err := interpreterOf(program)
	if err != nil || interpreter == "" {
		return nil, err
	}
	list, err := output(exec.Command(interpreter, "--list", program))
	if err != nil {
		return nil, err
	}
	libraries := []string{interpreter}
	for line := range strings.Lines(list) {
		// NAME => PATH (ADDRESS); the kernel's own has no path.
		if _, rest, found := strings.Cut(line, "=> "); found {
			path, _, _ := strings.Cut(rest, " (")
			if !filepath.IsAbs(path) {
				return nil, fmt.Errorf("%s: %s", program, strings.TrimSpace(line))
			}
			libraries = append(libraries, path)
		}
	}
	return libraries, nil
}

// interpreterOf is the dynamic linker of a program, or nothing for a static one.
func interpreterOf(program string) (string, error) {
	file, err := elf.Open(program)
	if err != nil {
		return "", fmt.Errorf("%s: %w", program, err)
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		path := make([]byte, segment.Filesz)
		if _, err := segment.ReadAt(path, 0); err != nil {
			return "", err
		}
		return string(bytes.TrimRight(path, "\x00")), nil
	}
	return "", nil
}
