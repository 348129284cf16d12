// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

// xdpFlag declares --xdp for a command that may load the dataplane, and makes the
// shell offer modes and devices for it.
func (a *app) xdpFlag(cmd *cobra.Command, modes *ctl.XDPModes) {
	cmd.Flags().Var(&xdpWords{modes: modes}, "xdp", "how a device uses XDP, as in eth0=off; repeatable (default auto)")
	offer := func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		offered := words(ctl.XDPChoices())
		if a.options.NetNS == "" {
			for _, device := range a.devices() {
				for _, mode := range ctl.XDPChoices() {
					offered = append(offered, device+"="+string(mode))
				}
			}
		}
		return offered, cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc("xdp", offer); err != nil {
		panic(err) // the flag is not declared, or twice
	}
}

// xdpWords is the value of --xdp.
type xdpWords struct {
	said  []string
	modes *ctl.XDPModes
}

func (x *xdpWords) Type() string   { return "mode" }
func (x *xdpWords) String() string { return strings.Join(x.said, " ") }

func (x *xdpWords) Set(word string) error {
	x.said = append(x.said, word)
	modes, err := ctl.ParseXDPModes(x.said)
	*x.modes = modes
	return err
}
