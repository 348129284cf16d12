// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

// choice is the value of a flag that takes one of a few words.
type choice[T ~string] struct {
	value   *T
	choices []T
}

func choiceOf[T ~string](value *T, choices []T) *choice[T] {
	return &choice[T]{value, choices}
}

func (c *choice[T]) String() string { return string(*c.value) }
func (c *choice[T]) Type() string   { return "word" }

func (c *choice[T]) Set(word string) error {
	if !slices.Contains(c.choices, T(word)) {
		return ctl.Errorf(ctl.ErrSyntax, "choose %s", strings.Join(words(c.choices), ", "))
	}
	*c.value = T(word)
	return nil
}

func words[T ~string](choices []T) []string {
	var s []string
	for _, c := range choices {
		s = append(s, string(c))
	}
	return s
}

// complete makes the shell offer the choices of a flag of cmd.
func complete[T ~string](cmd *cobra.Command, flag string, choices []T) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words(choices), cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag is not declared, or twice
	}
}

// flowCount is the value of --max-flows.
type flowCount struct{ value *uint32 }

func (c flowCount) Type() string { return "number" }

func (c flowCount) String() string {
	if c.value == nil || *c.value == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(*c.value), 10)
}

func (c flowCount) Set(word string) error {
	n, err := strconv.ParseUint(word, 10, 32)
	if err != nil || n == 0 {
		return ctl.Errorf(ctl.ErrSyntax, "write a number such as 65536")
	}
	*c.value = uint32(n)
	return nil
}

// interval is the value of --watch.
type interval struct{ value *time.Duration }

// shortestInterval keeps rates meaningful and the processor free.
const shortestInterval = 100 * time.Millisecond

func (i interval) Type() string { return "interval" }

func (i interval) String() string {
	if i.value == nil || *i.value == 0 {
		return ""
	}
	return ctl.FormatDuration(*i.value)
}

func (i interval) Set(word string) error {
	d, err := time.ParseDuration(word)
	if err != nil || d < shortestInterval {
		return ctl.Errorf(ctl.ErrSyntax, "write a duration from %s on, such as 2s", shortestInterval)
	}
	*i.value = d
	return nil
}
