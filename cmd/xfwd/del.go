// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

func newDel(a *app) *cobra.Command {
	var all bool
	existing := ctl.ExistingKeep
	cmd := &cobra.Command{
		Use:     "del FRONTEND|NAME...",
		GroupID: groupPublish,
		Short:   "Stop publishing",
		Long: `Stop publishing what is given, all of it or, if something is not there,
nothing. A FRONTEND stands for its forwards on whatever devices, a NAME for all
of that name. New connections are refused at once; established TCP connections
live on unless reset.`,
		Example: `  xfwd del 80                    # 80/tcp
  xfwd del 53/tcp+udp web
  xfwd del 443 --existing reset  # end its connections too
  xfwd del --all`,
		Args: func(cmd *cobra.Command, args []string) error {
			if all && len(args) > 0 {
				return ctl.Errorf(ctl.ErrSyntax, "del takes either --all or what to delete; remove one")
			}
			if !all && len(args) == 0 {
				return ctl.Errorf(ctl.ErrSyntax, "del needs a frontend or a name; write for example `xfwd del 80`, or --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			instance, err := a.instance()
			if err != nil {
				return err
			}
			_, err = a.update(cmd.Context(), instance, ctl.Delete(args, all), nil, ctl.UpdateOptions{Existing: existing})
			return err
		},
		ValidArgsFunction: a.completeForwards,
	}
	cmd.Flags().BoolVar(&all, "all", false, "every forward")
	cmd.Flags().Var(choiceOf(&existing, existings()), "existing", "established TCP connections: keep or reset")
	complete(cmd, "existing", existings())
	return cmd
}
