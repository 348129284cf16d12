// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// cpio writes an initramfs: an archive in the format "newc" of
// Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's
// source. Everything in it belongs to root.
type cpio struct {
	w io.Writer
	// made are the paths that are in the archive.
	made map[string]bool
	err  error
}

func newCPIO(w io.Writer) *cpio { return &cpio{w: w, made: map[string]bool{}} }

// file adds a file of this machine under an absolute path.
func (c *cpio) file(name, source string) {
	content, err := os.ReadFile(source)
	if err != nil {
		c.fail(err)
		return
	}
	info, err := os.Stat(source)
	if err != nil {
		c.fail(err)
		return
	}
	c.bytes(name, content, info.Mode().Perm())
}

// bytes adds a file of that content.
func (c *cpio) bytes(name string, content []byte, mode fs.FileMode) {
	c.directory(path.Dir(name))
	c.entry(name, unix.S_IFREG|uint32(mode), content)
}

// symlink adds a symbolic link.
func (c *cpio) symlink(name, target string) {
	c.directory(path.Dir(name))
	c.entry(name, unix.S_IFLNK|0o777, []byte(target))
}

// tree adds a directory of this machine and what is in it.
func (c *cpio) tree(name, source string) {
	c.fail(fs.WalkDir(os.DirFS(source), ".", func(below string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			c.directory(path.Join(name, below))
		default:
			c.file(path.Join(name, below), path.Join(source, below))
		}
		return nil
	}))
}

// directory adds a directory, and those above it first.
func (c *cpio) directory(name string) {
	if name == "/" {
		return
	}
	c.directory(path.Dir(name))
	c.entry(name, unix.S_IFDIR|0o755, nil)
}

// close ends the archive and returns the first error.
func (c *cpio) close() error {
	c.entry("/TRAILER!!!", 0, nil)
	return c.err
}

func (c *cpio) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// entry adds what is not there yet.
func (c *cpio) entry(name string, mode uint32, content []byte) {
	if c.err != nil || c.made[name] {
		return
	}
	c.made[name] = true
	name = strings.TrimPrefix(name, "/")
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		len(c.made), // inode
		mode,
		0, 0, // user, group
		1, // links
		0, // time of modification
		len(content),
		0, 0, 0, 0, // devices
		len(name)+1,
		0, // checksum, which this format does not use
		name)
	for _, part := range []string{header, string(content)} {
		_, err := io.WriteString(c.w, part+"\x00\x00\x00"[:-len(part)&3])
		c.fail(err)
	}
}
