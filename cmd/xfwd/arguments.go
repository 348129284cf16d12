// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

// between accepts that many arguments; most of -1 is no limit. The remedy of
// its error is the example.
func between(least, most int, example string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return ctl.Errorf(ctl.ErrSyntax, "%s needs more words; write for example `%s`", commandWords(cmd), example)
		case most >= 0 && len(args) > most:
			return ctl.Errorf(ctl.ErrSyntax, "%s does not take %q; write for example `%s`", commandWords(cmd), args[most], example)
		}
		return nil
	}
}
