// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

// hideNotYet leaves out of the help of add what ctl.Spec refuses whatever its
// value.
func hideNotYet(add *cobra.Command) {
	for _, flag := range []string{"allow", "deny", "expires"} {
		if err := add.Flags().MarkHidden(flag); err != nil {
			panic(err) // the flag is not declared
		}
	}
}

// notYet returns the commands of the contract that this version refuses.
func notYet() []*cobra.Command {
	var commands []*cobra.Command
	for name, remedy := range map[string]string{
		"top": "`xfwd stats --watch` shows rates",
	} {
		commands = append(commands, &cobra.Command{
			Use:                name,
			Hidden:             true,
			DisableFlagParsing: true,
			RunE: func(*cobra.Command, []string) error {
				return ctl.NotInThisVersion("the command "+name+" is", remedy)
			},
		})
	}
	return commands
}
