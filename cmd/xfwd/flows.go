// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

func newFlows(a *app) *cobra.Command {
	var filter ctl.FlowFilter
	var limit uint32
	var count bool
	cmd := &cobra.Command{
		Use:     "flows [FRONTEND|NAME]",
		GroupID: groupLook,
		Short:   "List live flows, or forget some",
		Long: `List live flows, in no order. CLIENT sends to DESTINATION, and TARGET gets it;
with -o wide, SOURCE is what the target sees as the client. Of several filters
a flow must pass all. The list is read while packets pass and waits for nobody:
a flow that comes, goes or changes meanwhile may be missed or listed twice.

States of TCP: syn, established, closing, closed. Of UDP: one-way, two-way.`,
		Example: `  xfwd flows
  xfwd flows 80 --client 192.0.2.0/24 --state closing --state closed
  xfwd flows --target [2001:db8::9]:80 -o json
  xfwd flows --protocol udp --idle 1m --count`,
		Args: between(0, 1, "xfwd flows 80"),
		RunE: func(cmd *cobra.Command, args []string) error {
			instance, err := a.instance()
			if err != nil {
				return err
			}
			filter.Forwards = args
			flows := limited(instance.Flows(cmd.Context(), filter), limit)
			switch {
			case count:
				return a.printFlowCount(flows)
			case a.output == formatJSON:
				return a.printFlowsJSON(flows)
			case a.output == formatYAML:
				return a.printFlowsYAML(flows)
			}
			return a.printFlows(flows)
		},
		ValidArgsFunction: a.completeForward,
	}
	addFlowFilter(cmd, &filter)
	cmd.Flags().Var(number32{&limit}, "limit", "list so many at most")
	cmd.Flags().BoolVar(&count, "count", false, "print only how many there are")
	cmd.AddCommand(newFlowsDel(a))
	return cmd
}
