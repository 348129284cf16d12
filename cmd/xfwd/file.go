// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/xfwd/xfwd/internal/ctl"
)

const (
	// defaultFile is what save writes and restore reads unless told otherwise.
	defaultFile = "/etc/xfwd/forwards.yaml"
	// fileVariable is the environment variable that names another one.
	fileVariable = "XFWD_FILE"
)

// defaultFile returns the file for commands that are given none. Another
// instance than the host's own has no default, or it would overwrite the
// forwards that the host restores at boot.
func (a *app) defaultFile() (string, error) {
	path := a.getenv(fileVariable)
	if path == "" && (a.options.NetNS != "" || a.options.Root != defaultRoot) {
		return "", ctl.Errorf(ctl.ErrSyntax, "%s belongs to the host's own forwards; with --netns or --root, set %s to another file", defaultFile, fileVariable)
	}
	return cmp.Or(path, defaultFile), nil
}

// readFile reads a file, or standard input for "-".
func (a *app) readFile(path string) (ctl.File, error) {
	if path == "-" {
		data, err := io.ReadAll(a.stdin)
		if err != nil {
			return ctl.File{}, fileError("read", "standard input", err)
		}
		return ctl.ParseFile("standard input", data, a.now())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return ctl.File{}, fileError("read", path, err)
	}
	return ctl.ParseFile(path, data, a.now())
}

// fileError says what could not be done to a file, and the remedy.
func fileError(verb, path string, err error) error {
	reason := err
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		reason = pathError.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot %s %s: %w; `xfwd save` makes such a file", verb, path, reason)
	case errors.Is(err, fs.ErrPermission):
		return ctl.Errorf(ctl.ErrUnsupported, "cannot %s %s: %w; run as root or name another file", verb, path, reason)
	}
	return fmt.Errorf("cannot %s %s: %w; name another file", verb, path, reason)
}
