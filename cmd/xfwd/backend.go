// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

func newBackend(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "backend",
		GroupID: groupPublish,
		Short:   "Change where a forward leads",
		Long: `Change the backends of a forward, while its connections live on. A FRONTEND
stands for its forwards on whatever devices, a NAME for all of that name, such
as both of 53/tcp+udp: all of them change, or if one cannot, none.`,
		Example: `  xfwd add 443 10.0.1.100:8443 10.0.1.101:8443 --name web
  xfwd backend add web 10.0.1.102:8443
  xfwd backend set web 10.0.1.101:8443,weight=3
  xfwd backend drain web 10.0.1.100:8443
  xfwd show web                           # how many connections it has left
  xfwd backend del web 10.0.1.100:8443`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(newBackendAdd(a), newBackendDel(a), newBackendDrain(a), newBackendSet(a))
	return cmd
}

func newBackendAdd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add FRONTEND|NAME BACKEND...",
		Short: "Give a forward more backends",
		Long: `Give a forward more backends. Adding one that is there already changes nothing;
its weight and state are changed by ` + "`xfwd backend set`" + `.`,
		Example: `  xfwd backend add web 10.0.1.102:8443
  xfwd backend add 443 10.0.1.103:8443,weight=3 10.0.1.104:8443`,
		ValidArgsFunction: a.completeForward,
	}
	a.changesBackends(cmd, ctl.AddBackends, "xfwd backend add web 10.0.1.102:8443")
	return cmd
}

func newBackendDel(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "del FRONTEND|NAME BACKEND...",
		Short: "Take backends from a forward",
		Long: `Take backends from a forward. Established TCP connections stay with them unless
reset; UDP flows move to another backend with their next packet. A forward that
has no backends left refuses its clients.`,
		Example: `  xfwd backend del web 10.0.1.100:8443
  xfwd backend del 443 10.0.1.101:8443 --existing reset  # end its connections too`,
		ValidArgsFunction: a.completeBackends,
	}
	options := a.changesBackends(cmd, ctl.DeleteBackends, "xfwd backend del web 10.0.1.100:8443")
	cmd.Flags().Var(choiceOf(&options.Existing, existings()), "existing", "established TCP connections: keep or reset")
	complete(cmd, "existing", existings())
	return cmd
}

func newBackendDrain(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain FRONTEND|NAME BACKEND...",
		Short: "Send backends no new connections",
		Long: `Send backends no new connections. Those that they have live on, and
` + "`xfwd show`" + ` says how many are left. ` + "`xfwd backend set`" + ` ends the draining.`,
		Example: `  xfwd backend drain web 10.0.1.100:8443
  xfwd show web`,
		ValidArgsFunction: a.completeBackends,
	}
	a.changesBackends(cmd, ctl.DrainBackends, "xfwd backend drain web 10.0.1.100:8443")
	return cmd
}

func newBackendSet(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set FRONTEND|NAME BACKEND[,weight=N]...",
		Short: "Change the weight of backends, or end their draining",
		Long: `Give backends another weight, 0 to 1000: their share of the new connections.
Weight 0 drains. A backend that drains becomes active again, with the weight
that is given, or else the one that it had, or 1 if that was 0.`,
		Example: `  xfwd backend set web 10.0.1.101:8443,weight=3
  xfwd backend set web 10.0.1.100:8443  # active again`,
		ValidArgsFunction: a.completeBackends,
	}
	a.changesBackends(cmd, ctl.SetBackends, "xfwd backend set web 10.0.1.101:8443,weight=3")
	return cmd
}

// changesBackends makes cmd change backends by a function of ctl. The example is
// for those who say too little. The options may be changed by flags.
func (a *app) changesBackends(cmd *cobra.Command, change func(ref string, words []string) (ctl.Change, error), example string) *ctl.UpdateOptions {
	options := &ctl.UpdateOptions{Existing: ctl.ExistingKeep}
	cmd.Flags().BoolVar(&options.DryRun, "dry-run", false, "say what would happen and change nothing")
	cmd.Args = between(2, -1, example)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := change(args[0], args[1:])
		if err != nil {
			return err
		}
		return a.changeBackends(cmd.Context(), args[0], c, *options)
	}
	return options
}

// changeBackends changes the backends of the forwards that ref means, and prints
// what came of it; for programs, these forwards as they are now.
func (a *app) changeBackends(ctx context.Context, ref string, change ctl.Change, o ctl.UpdateOptions) error {
	instance, err := a.instance()
	if err != nil {
		return err
	}
	done, err := a.perform(ctx, instance, change, o)
	if err != nil {
		return err
	}
	now, err := ctl.Select(slices.Concat(done.Changed, done.Kept), []string{ref})
	if err != nil {
		return err
	}
	ctl.Sort(now)
	if !a.output.isText() {
		return a.encode(views(now))
	}
	done.keep(now)
	a.sayAll(done.lines("unchanged"))
	return nil
}
