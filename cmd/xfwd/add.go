// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

// addFlags are the flags of add that are not words of the forward.
type addFlags struct {
	replace, save bool
	options       ctl.UpdateOptions
}

func newAdd(a *app) *cobra.Command {
	var spec ctl.Spec
	flags := addFlags{options: ctl.UpdateOptions{Existing: ctl.ExistingKeep}}
	cmd := &cobra.Command{
		Use:     "add FRONTEND BACKEND...",
		GroupID: groupPublish,
		Short:   "Publish a port",
		Long: `Publish FRONTEND: what clients send there goes to BACKEND, and replies return
as if FRONTEND had answered. Adding what is already there changes nothing.

Of several backends each gets its share of the new connections, by weight.
--balance chooses by maglev (a hash; hosts with the same backends choose the
same), round-robin, random, least-connections or source-hash (the client's
address).

--affinity brings a client back to its backend. Forwards that have the same
--affinity-group bring it to the same machine: a client of 443 goes where it
went by 80, if a backend there has that address.

A backend sees the client's address where its answers must come back through
this host, and otherwise an address of this host; --source preserve or
masquerade forces either. That is the address by which this host reaches the
backend, or one of those that --source-address gives: a client keeps its address,
and each has ports for 20,000 flows to one port of a backend at once.

Connections of this host itself are forwarded, too. --own auto leaves those
alone that are to an address where a process listens by name, such as
127.0.0.1:6379, if FRONTEND has no address. --own always forwards these, too,
--own never none.

--check has ` + "`xfwd serve`" + ` look whether backends are alive, by tcp, http or udp and
options such as http,path=/healthz,port=8080,interval=5s,timeout=2s,rise=2,fall=3.
One that is down gets no new connections.

--expires ends the forward in time, though no process of xfwd runs: as after
` + "`xfwd del`" + `, new connections are refused and established ones live on.

--mss lowers the maximum segment size that TCP clients and backends elsewhere
announce to each other: auto to what fits the MTUs of the routes between them,
and to what a rule of netfilter on this host sets; a number to so many bytes at
most; off not at all.

Adding what is there with another --own, check, MSS or expiry changes only these;
adding it without them means --own auto and --mss auto, ends the check, and the
forward lasts.

--device takes a name or an alternative name that ` + "`ip link`" + ` shows, or the beginning
of names and a plus: ppp+ means every such device, later ones too. A forward
follows a device that is renamed. A name beats a pattern, and any device none.

XDP serves what leaves this host again, where a device can. --xdp eth0=off sets
the mode of a device, --xdp off that of all others; it is native, generic, off
or auto, and remembered until ` + "`xfwd unload`" + `. A veth whose other end leaves checksums
to it has no XDP: ` + "`xfwd status`" + ` shows the command that ends that.`,
		Example: `  xfwd add 80 30080                      # to a port of this host
  xfwd add 53/tcp+udp 5353 --name dns
  xfwd add 192.0.2.7:443 30443 --device eth0
  xfwd add 51820/udp 51821 --device ppp+  # of all these, whichever come
  xfwd add 8080 10.0.1.100:80 10.0.1.101:80,weight=3 --affinity 3h
  xfwd add 8081 10.0.1.100:81 --check http,path=/healthz
  xfwd add 9000-9005 30000-30005         # port by port
  xfwd add 8888 30080 --expires 1h       # again later: for another hour
  xfwd add 80 30081 --replace            # take it from what has it now`,
		Args: between(2, -1, "xfwd add 80 30080"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("existing") && !flags.replace {
				return ctl.Errorf(ctl.ErrSyntax, "--existing is about forwards that are replaced; add --replace")
			}
			spec.Frontend, spec.Backends = args[0], args[1:]
			return a.add(cmd.Context(), spec, flags)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.StringVar(&spec.Name, "name", "", "call the forward by this `name`")
	f.StringArrayVar(&spec.Devices, "device", nil, "only packets that arrive on this `device`, or by a pattern such as ppp+; repeatable")
	f.StringVar(&spec.Source, "source", "", "the `source` that a backend sees: auto, preserve or masquerade (default auto)")
	f.StringArrayVar(&spec.SourceAddresses, "source-address", nil, "masquerade as this `address` of the host, or one of several; repeatable")
	f.StringVar(&spec.Balance, "balance", "", "the `way` a new connection chooses its backend (default maglev)")
	f.StringVar(&spec.Affinity, "affinity", "", "send a client to the backend that it had within this `duration`")
	f.StringVar(&spec.AffinityGroup, "affinity-group", "", "share the affinity with the other forwards of the group `name`")
	f.StringVar(&spec.Own, "own", "", "which connections of this host to `take`: auto, always or never (default auto)")
	f.StringVar(&spec.Check, "check", "", "look after the backends by this `check`: tcp, http or udp, with options")
	f.StringArrayVar(&spec.Allow, "allow", nil, "only clients of this `prefix`; repeatable")
	f.StringArrayVar(&spec.Deny, "deny", nil, "no clients of this `prefix`; repeatable")
	f.StringVar(&spec.MSS, "mss", "", "clamp the MSS of TCP to so many `bytes` for backends elsewhere; off, or auto (default auto)")
	f.StringVar(&spec.Expires, "expires", "", "end the forward after this `duration` (default never)")
	f.StringVar(&spec.Comment, "comment", "", "remember this `text`")
	f.BoolVar(&flags.replace, "replace", false, "take the frontend or the name from what has it")
	f.Var(choiceOf(&flags.options.Existing, existings()), "existing", "with --replace, established TCP connections: keep or reset")
	f.BoolVar(&flags.options.DryRun, "dry-run", false, "say what would happen and change nothing")
	f.BoolVar(&flags.save, "save", false, "save all forwards to the default file afterwards")
	a.xdpFlag(cmd, &flags.options.XDP)
	a.maxFlowsFlag(cmd)
	complete(cmd, "source", ctl.Sources())
	complete(cmd, "balance", ctl.Balances())
	complete(cmd, "own", ctl.Owns())
	complete(cmd, "check", ctl.CheckKinds())
	complete(cmd, "mss", []string{ctl.MSSAuto.String(), ctl.MSSOff.String()})
	complete(cmd, "existing", existings())
	a.completeOfHost(cmd)
	hideNotYet(cmd)
	return cmd
}

func (a *app) add(ctx context.Context, spec ctl.Spec, flags addFlags) error {
	forwards, err := spec.Forwards(a.now())
	if err != nil {
		return err
	}
	instance, err := a.instance()
	if err != nil {
		return err
	}
	change := ctl.Add(forwards, flags.replace)
	if !flags.save || flags.options.DryRun {
		_, err := a.update(ctx, instance, change, forwards, flags.options)
		return err
	}
	// A file that cannot be written is found out before anything changes.
	path, err := a.defaultFile()
	if err != nil {
		return err
	}
	file, err := createFile(path)
	if err != nil {
		return err
	}
	defer file.discard()
	if _, err := a.update(ctx, instance, change, forwards, flags.options); err != nil {
		return err
	}
	return a.saveTo(ctx, instance, file)
}

// existings are the choices of --existing, the default first.
func existings() []ctl.Existing {
	return []ctl.Existing{ctl.ExistingKeep, ctl.ExistingReset}
}

// maxFlowsFlag declares --max-flows for a command that may load the dataplane.
func (a *app) maxFlowsFlag(cmd *cobra.Command) {
	cmd.Flags().Var(number32{&a.options.MaxFlows}, "max-flows", "size of the flow table, if the dataplane is to be loaded (default by memory)")
}
