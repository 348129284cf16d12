// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

func newCompletion() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:     "completion SHELL",
		GroupID: groupSystem,
		Short:   "Print the completion script for a shell",
		Long:    "Print the completion script for bash, zsh, fish or powershell.",
		Example: `  source <(xfwd completion bash)
  xfwd completion bash > /etc/bash_completion.d/xfwd
  xfwd completion fish > ~/.config/fish/completions/xfwd.fish`,
		Args:      between(1, 1, "xfwd completion bash"),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return ctl.Errorf(ctl.ErrSyntax, "there is no completion for the shell %q; choose bash, zsh, fish or powershell", args[0])
		},
	}
}

// completeForwards offers the names and frontends of the live forwards.
func (a *app) completeForwards(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	forwards, err := a.liveForwards(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var words []cobra.Completion
	for _, f := range forwards {
		words = append(words, cobra.CompletionWithDesc(f.Frontend.String(), f.String()))
		if f.Name != "" {
			words = append(words, cobra.CompletionWithDesc(f.Name, f.String()))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// completeForward is completeForwards for a command that takes one, first.
func (a *app) completeForward(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeForwards(cmd, args, word)
}

// completeBackends offers forwards, then the backends of the one that is there.
func (a *app) completeBackends(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeForwards(cmd, args, word)
	}
	forwards, err := a.liveForwards(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	if forwards, err = ctl.Select(forwards, args[:1]); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var words []cobra.Completion
	offered := map[string]bool{}
	for _, given := range args[1:] {
		place, _, _ := strings.Cut(given, ",")
		offered[place] = true
	}
	for _, f := range forwards {
		for _, b := range f.Backends {
			if !offered[b.Place()] {
				words = append(words, cobra.CompletionWithDesc(b.Place(), fmt.Sprintf("%s, weight %d", b.State, b.Weight)))
				offered[b.Place()] = true
			}
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) liveForwards(cmd *cobra.Command) ([]ctl.Forward, error) {
	instance, err := a.instance()
	if err != nil {
		return nil, err
	}
	return instance.Forwards(cmd.Context())
}

// completeOfHost makes the shell offer network devices for --device, and addresses of this host
// for --source-address. Those of another namespace are not known.
func (a *app) completeOfHost(cmd *cobra.Command) {
	for flag, words := range map[string]func() []string{"device": a.devices, "source-address": a.addresses} {
		offer := func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if a.options.NetNS != "" {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return words(), cobra.ShellCompDirectiveNoFileComp
		}
		if err := cmd.RegisterFlagCompletionFunc(flag, offer); err != nil {
			panic(err) // the flag is not declared, or twice
		}
	}
}
