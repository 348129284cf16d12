// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

func newRestore(a *app) *cobra.Command {
	var options ctl.UpdateOptions
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "restore [FILE]",
		GroupID: groupFile,
		Short:   "Bring the forwards of a saved file back",
		Long: `Bring the forwards of FILE back, by default of ` + defaultFile + ` or what
` + fileVariable + ` names. It is ` + "`xfwd apply -f FILE`" + `: other forwards stay.

--wait gives devices that forwards name so much time to come, as at boot. What
has not come by then is warned of, and all forwards are brought back.`,
		Example: `  xfwd restore
  xfwd restore /etc/xfwd/forwards.yaml
  xfwd restore --wait 30s`,
		Args: between(0, 1, "xfwd restore"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := a.fileArgument(args)
			if err != nil {
				return err
			}
			return a.apply(cmd.Context(), path, false, wait, options)
		},
	}
	waitFlag(cmd, &wait)
	a.xdpFlag(cmd, &options.XDP)
	a.maxFlowsFlag(cmd)
	return cmd
}
