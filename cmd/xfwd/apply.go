// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

func newApply(a *app) *cobra.Command {
	var path string
	var prune bool
	var options ctl.UpdateOptions
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "apply -f FILE",
		GroupID: groupFile,
		Short:   "Make the forwards what a file says",
		Long: `Make the forwards what FILE says, in one step. Forwards that are there already
keep their flows and counters; what has a frontend or a name of the file's
forwards gives it up. Others stay, unless --prune removes them.

--wait gives devices that forwards name so much time to come.`,
		Example: `  xfwd apply -f forwards.yaml --dry-run
  xfwd apply -f forwards.yaml --prune
  xfwd save - | ssh other-host xfwd apply -f -`,
		Args: between(0, 0, "xfwd apply -f forwards.yaml"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				return ctl.Errorf(ctl.ErrSyntax, "apply needs a file; write for example `xfwd apply -f forwards.yaml`")
			}
			return a.apply(cmd.Context(), path, prune, wait, options)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVarP(&path, "file", "f", "", "the `file`; - is standard input")
	cmd.Flags().BoolVar(&prune, "prune", false, "remove the forwards that the file does not have")
	cmd.Flags().BoolVar(&options.DryRun, "dry-run", false, "say what would happen and change nothing")
	waitFlag(cmd, &wait)
	a.xdpFlag(cmd, &options.XDP)
	a.maxFlowsFlag(cmd)
	return cmd
}

// apply makes the forwards what a file says.
func (a *app) apply(ctx context.Context, path string, prune bool, wait time.Duration, o ctl.UpdateOptions) error {
	file, err := a.readFile(path)
	if err != nil {
		return err
	}
	a.note(file.Notes)
	instance, err := a.instance()
	if err != nil {
		return err
	}
	if wait > 0 && !o.DryRun {
		if err := a.awaitDevices(ctx, instance, file.Forwards, wait); err != nil {
			return err
		}
	}
	o.XDP = file.XDP.And(o.XDP)
	report, err := a.update(ctx, instance, ctl.ApplyFile(file.Forwards, prune), nil, o)
	if err != nil {
		return err
	}
	if len(report.Added)+len(report.Removed)+len(report.Changed) == 0 {
		a.say("nothing to do; %s of %s there already", plural(len(file.Forwards), "forward"), path)
	}
	return nil
}

// waitFlag declares --wait.
func waitFlag(cmd *cobra.Command, wait *time.Duration) {
	cmd.Flags().Var(duration{wait, time.Millisecond, "30s"}, "wait", "wait for devices that forwards name, for at most this `duration` (default not at all)")
}

// awaitDevices waits until the devices that forwards name are there, but not for ever.
func (a *app) awaitDevices(ctx context.Context, d dataplane, forwards []ctl.Forward, patience time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	missing, err := d.AwaitDevices(limited, forwards)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(missing) > 0 {
		a.warn([]string{"waited " + ctl.FormatDuration(patience) + " for " + strings.Join(missing, ", ") + ": no such device has come"})
	}
	return nil
}
