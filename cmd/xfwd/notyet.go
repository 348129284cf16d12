// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

// hideNotYet leaves out of the help of add what ctl.Spec refuses whatever its
// value.
func hideNotYet(add *cobra.Command) {
	for _, flag := range []string{"allow", "deny"} {
		if err := add.Flags().MarkHidden(flag); err != nil {
			panic(err) // the flag is not declared
		}
	}
}
