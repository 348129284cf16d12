// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

func newUnload(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "unload",
		GroupID: groupSystem,
		Short:   "Take everything out of the kernel",
		Long: `Take the programs, forwards and flows of this instance out of the kernel, and
leave nothing behind. Translated connections break. Saved files stay.`,
		Example: `  xfwd unload`,
		Args:    between(0, 0, "xfwd unload"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			instance, err := a.instance()
			if err != nil {
				return err
			}
			if err := instance.Unload(cmd.Context()); err != nil {
				return err
			}
			a.say("nothing of xfwd is in the kernel")
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}
