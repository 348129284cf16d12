// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

func newSave(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "save [FILE]",
		GroupID: groupFile,
		Short:   "Write all forwards to a file",
		Long: `Write all forwards, and the modes of --xdp, to FILE, by default to
` + defaultFile + ` or what ` + fileVariable + ` names; - is standard output. A reader
sees the old file or the new one.`,
		Example: `  xfwd save
  xfwd save -`,
		Args: between(0, 1, "xfwd save"),
		RunE: func(cmd *cobra.Command, args []string) error {
			instance, err := a.instance()
			if err != nil {
				return err
			}
			if len(args) > 0 && args[0] == "-" {
				file, err := fileOf(cmd.Context(), instance)
				if err != nil {
					return err
				}
				_, err = a.stdout.Write(file.Format())
				return err
			}
			path, err := a.fileArgument(args)
			if err != nil {
				return err
			}
			file, err := createFile(path)
			if err != nil {
				return err
			}
			defer file.discard()
			return a.saveTo(cmd.Context(), instance, file)
		},
	}
}

// fileArgument returns the file that the arguments name, or the default.
func (a *app) fileArgument(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	return a.defaultFile()
}

// fileOf returns the file that brings back what there is.
func fileOf(ctx context.Context, d dataplane) (ctl.File, error) {
	forwards, err := d.Forwards(ctx)
	if err != nil {
		return ctl.File{}, err
	}
	modes, err := d.XDP(ctx)
	return ctl.File{Forwards: forwards, XDP: modes}, err
}

// saveTo writes all forwards to a file.
func (a *app) saveTo(ctx context.Context, d dataplane, file *newFile) error {
	var count int
	err := file.commit(func() ([]byte, error) {
		file, err := fileOf(ctx, d)
		count = len(file.Forwards)
		return file.Format(), err
	})
	if err != nil {
		return err
	}
	a.say("saved %s to %s", plural(count, "forward"), file.path)
	return nil
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
