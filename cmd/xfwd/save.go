// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

func newSave(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "save [FILE]",
		GroupID: groupFile,
		Short:   "Write all forwards to a file",
		Long: `Write all forwards to FILE, by default to ` + defaultFile + ` or what
` + fileVariable + ` names; - is standard output. A reader sees the old file or the new one.`,
		Example: `  xfwd save
  xfwd save -`,
		Args: between(0, 1, "xfwd save"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && args[0] == "-" {
				data, _, err := a.snapshot(cmd)
				if err != nil {
					return err
				}
				_, err = a.stdout.Write(data)
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
			return a.saveTo(cmd, file)
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

// saveTo writes all forwards to a file.
func (a *app) saveTo(cmd *cobra.Command, file *newFile) error {
	count := 0
	err := file.commit(func() (data []byte, err error) {
		data, count, err = a.snapshot(cmd)
		return data, err
	})
	if err != nil {
		return err
	}
	a.say("saved %s to %s", plural(count, "forward"), file.path)
	return nil
}

// snapshot returns all forwards as a file, and their number.
func (a *app) snapshot(cmd *cobra.Command) (data []byte, count int, err error) {
	instance, err := a.instance()
	if err != nil {
		return nil, 0, err
	}
	forwards, err := instance.Forwards(cmd.Context())
	return ctl.FormatFile(forwards), len(forwards), err
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
