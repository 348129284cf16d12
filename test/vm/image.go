// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/xfwd/xfwd/test/vm/job"
)

// In the guest.
const (
	guestXFWD    = "/bin/xfwd"
	guestTests   = "/bin/tests"
	guestModules = "/modules"
)

// buildBase writes the part of the initramfs that all guests share: the first
// process, xfwd, the tools, and what a system has for files.
func buildBase(ctx context.Context, dir string) (file string, err error) {
	guest, xfwd := filepath.Join(dir, "guest"), filepath.Join(dir, "xfwd")
	if err := build(ctx, guest, "build", module+"/test/vm/guest"); err != nil {
		return "", err
	}
	if err := build(ctx, xfwd, "build", "-trimpath", module+"/cmd/xfwd"); err != nil {
		return "", err
	}
	return writeCPIO(filepath.Join(dir, "base.cpio"), func(c *cpio) error {
		c.file("/init", guest)
		c.file(guestXFWD, xfwd)
		c.bytes("/etc/passwd", []byte("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"), 0o644)
		c.bytes("/etc/group", []byte("root:x:0:\nnogroup:x:65534:\n"), 0o644)
		c.bytes("/etc/hosts", []byte("127.0.0.1 localhost\n::1 localhost\n"), 0o644)
		c.directory("/var/log/nginx")
		c.directory("/var/lib/nginx")
		c.directory("/var/tmp")
		c.symlink("/var/run", "/run")
		c.symlink("/usr/bin", "/bin")
		return addTools(c)
	})
}

// guest is what guests with one kernel share.
type guest struct {
	kernel *kernel
	// archive has the modules, which are loaded in this order.
	archive string
	modules []string
}

func buildModules(dir string, k *kernel) (guest, error) {
	files, err := k.moduleFiles(moduleList)
	if err != nil {
		return guest{}, err
	}
	g := guest{kernel: k}
	g.archive, err = writeCPIO(filepath.Join(dir, "modules-"+k.name+".cpio"), func(c *cpio) error {
		for _, file := range files {
			name := path.Join(guestModules, filepath.Base(file))
			g.modules = append(g.modules, name)
			c.file(name, file)
		}
		return nil
	})
	return g, err
}

// buildSuite writes the part that guests with one package share: its tests and
// their data.
func buildSuite(dir string, s suite) (file string, err error) {
	return writeCPIO(s.binary+".cpio", func(c *cpio) error {
		c.file(guestTests, s.binary)
		c.directory(s.guestDir())
		data := filepath.Join(s.dir, "testdata")
		if _, err := os.Stat(data); err == nil {
			c.tree(path.Join(s.guestDir(), "testdata"), data)
		}
		return nil
	})
}

// buildJob writes the part that is for one guest.
func buildJob(name string, j job.Job) (file string, err error) {
	content, err := json.Marshal(j)
	if err != nil {
		return "", err
	}
	return writeCPIO(name, func(c *cpio) error {
		c.bytes(job.File, content, 0o644)
		return nil
	})
}

func writeCPIO(name string, write func(*cpio) error) (string, error) {
	file, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	c := newCPIO(file)
	if err := write(c); err != nil {
		return "", err
	}
	return name, c.close()
}

// concatenate writes several archives into one file, which the kernel unpacks
// one after the other.
func concatenate(name string, parts ...string) (err error) {
	whole, err := os.Create(name)
	if err != nil {
		return err
	}
	defer whole.Close()
	for _, part := range parts {
		file, err := os.Open(part)
		if err != nil {
			return err
		}
		_, err = io.Copy(whole, file)
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
