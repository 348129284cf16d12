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

// choices is the value of a flag that takes one of a few words each time.
type choices[T ~string] struct {
	values  *[]T
	choices []T
}

func choicesOf[T ~string](values *[]T, all []T) choices[T] {
	return choices[T]{values, all}
}

func (c choices[T]) Type() string { return "word" }

func (c choices[T]) String() string {
	if c.values == nil {
		return ""
	}
	return strings.Join(words(*c.values), ", ")
}

func (c choices[T]) Set(word string) error {
	var chosen T
	if err := choiceOf(&chosen, c.choices).Set(word); err != nil {
		return err
	}
	*c.values = append(*c.values, chosen)
	return nil
}

// number32 is the value of a flag that takes a number of flows.
type number32 struct{ value *uint32 }

func (n number32) Type() string { return "number" }

func (n number32) String() string {
	if n.value == nil || *n.value == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(*n.value), 10)
}

func (n number32) Set(word string) error {
	parsed, err := strconv.ParseUint(word, 10, 32)
	if err != nil || parsed == 0 {
		return ctl.Errorf(ctl.ErrSyntax, "write a number such as 65536")
	}
	*n.value = uint32(parsed)
	return nil
}

// duration is the value of a flag that takes one.
type duration struct {
	value *time.Duration
	// least is the shortest that makes sense, example another one.
	least   time.Duration
	example string
}

func (d duration) Type() string { return "duration" }

func (d duration) String() string {
	if d.value == nil || *d.value == 0 {
		return ""
	}
	return ctl.FormatDuration(*d.value)
}

func (d duration) Set(word string) error {
	parsed, err := time.ParseDuration(word)
	if err != nil || parsed < d.least {
		return ctl.Errorf(ctl.ErrSyntax, "write a duration from %s on, such as %s", d.least, d.example)
	}
	*d.value = parsed
	return nil
}
