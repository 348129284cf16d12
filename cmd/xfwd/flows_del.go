// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

func newFlowsDel(a *app) *cobra.Command {
	var filter ctl.FlowFilter
	var all bool
	deletion := ctl.FlowDeletion{Existing: ctl.ExistingKeep}
	cmd := &cobra.Command{
		Use:   "del [FRONTEND|NAME]",
		Short: "Forget flows",
		Long: `Forget live flows: those that are of the forward, if one is given, and pass all
filters. That there are none is no error (exit status 0); that there is no such
forward is (4).

The next packet of the client is then treated as the first of a flow, and the
balance chooses its backend. So UDP clients may move, and TCP connections of
forwards that are deleted end. Other TCP connections go on if the same backend
is chosen, as it is where there is but one or a hash chooses, and if it sees
the same source port, which a masqueraded one seldom does; otherwise they are
reset. If it is the target that sends next, its client sees packets of a
connection that it does not know, and that resets it.

--existing reset ends TCP connections to programs of this host at once, and
their clients notice. It cannot do that to those that end elsewhere, or that a
NodePort translates.`,
		Example: `  xfwd flows del 53/udp
  xfwd flows del --client 198.51.100.0/24 --dry-run
  xfwd flows del web --target 10.0.1.100:80 --state established
  xfwd flows del 80 --idle 1h --existing reset
  xfwd flows del --all`,
		Args: between(0, 1, "xfwd flows del 80"),
		RunE: func(cmd *cobra.Command, args []string) error {
			meant := len(args) > 0 || flowFilterGiven(cmd)
			switch {
			case all && meant:
				return ctl.Errorf(ctl.ErrSyntax, "flows del takes either --all or which flows to forget; remove one")
			case !all && !meant:
				return ctl.Errorf(ctl.ErrSyntax, "flows del needs a forward or a filter; write for example `xfwd flows del 80` or `xfwd flows del --client 192.0.2.7`, or --all")
			}
			instance, err := a.instance()
			if err != nil {
				return err
			}
			filter.Forwards = args
			count, err := instance.DeleteFlows(cmd.Context(), filter, deletion)
			if err != nil {
				return err
			}
			if !a.output.isText() {
				return a.encode(flowDeletionView{deletion.DryRun, count})
			}
			done := "forgot"
			if deletion.DryRun {
				done = "would forget"
			}
			a.say("%s %s", done, flowCount(count))
			return nil
		},
		ValidArgsFunction: a.completeForward,
	}
	addFlowFilter(cmd, &filter)
	cmd.Flags().BoolVar(&all, "all", false, "every flow")
	cmd.Flags().Var(choiceOf(&deletion.Existing, existings()), "existing", "TCP connections to this host: keep or reset")
	cmd.Flags().BoolVar(&deletion.DryRun, "dry-run", false, "say how many flows that would be, and forget none")
	complete(cmd, "existing", existings())
	return cmd
}

// flowDeletionView is what was forgotten, or would be, as JSON shows it.
type flowDeletionView struct {
	DryRun bool `json:"dryRun"`
	Flows  int  `json:"flows"`
}

// flowCount says how many flows.
func flowCount(n int) string {
	if n == 1 {
		return "1 flow"
	}
	return fmt.Sprintf("%d flows", n)
}
