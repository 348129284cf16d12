// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/figures"
)

// defaultRoot is where pins live unless told otherwise.
const defaultRoot = "/sys/fs/bpf/xfwd"

// app is what all commands of one run share.
type app struct {
	environment
	options ctl.Options
	output  format
	quiet   bool
}

// The groups of commands in the help.
const (
	groupPublish = "publish"
	groupLook    = "look"
	groupFile    = "file"
	groupSystem  = "system"
)

func newRoot(e environment) *cobra.Command {
	a := &app{environment: e, output: formatTable}
	root := &cobra.Command{
		Use:   "xfwd",
		Short: "Publish ports of this host at kernel speed",
		Long: `xfwd publishes ports: what arrives at one goes to another, for TCP and UDP,
IPv4 and IPv6, at the speed of the kernel. Forwards live in the kernel; they take
no process of xfwd.

FRONTEND is [ADDRESS:]PORT[-PORT][/PROTOCOL]: 80, 53/udp, 443/tcp+udp,
192.0.2.7:80, [2001:db8::7]:80, 9000-9005. Without a protocol it is tcp;
without an address it is every address of this host.

BACKEND is [ADDRESS:]PORT[-PORT][,weight=N]: 30080, 10.0.1.100:80,
[2001:db8::9]:80,weight=3. Without an address it is this host, and the client's
address is kept.

Exit status: 0 done, 1 failed, 2 the words are wrong, 3 the frontend is taken,
4 not found, 5 the kernel or the privileges do not allow it.`,
		Example: `  xfwd add 80 30080           # port 80 of this host goes to its port 30080
  xfwd list
  xfwd stats --watch
  xfwd del 80`,
		Args:                       cobra.ArbitraryArgs,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return ctl.Errorf(ctl.ErrSyntax, "%w; `%s --help` lists the flags", err, cmd.CommandPath())
	})

	flags := root.PersistentFlags()
	flags.VarP(choiceOf(&a.output, formats()), "output", "o", "print as table, wide, json or yaml")
	flags.StringVar(&a.options.NetNS, "netns", "", "act in the network namespace of this `name or path`")
	flags.StringVar(&a.options.Root, "root", defaultRoot, "keep pins in this `directory` of a BPF file system")
	flags.BoolVar(&a.quiet, "quiet", false, "print nothing but what was asked for, warnings and errors")
	complete(root, "output", formats())

	root.AddGroup(
		&cobra.Group{ID: groupPublish, Title: "Publish:"},
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupFile, Title: "Files:"},
		&cobra.Group{ID: groupSystem, Title: "Dataplane:"},
	)
	root.AddCommand(
		newAdd(a), newDel(a), newBackend(a),
		newList(a), newShow(a), newStats(a), newFlows(a), newTop(a), newServe(a),
		newApply(a), newSave(a), newRestore(a),
		newStatus(a), newUnload(a),
		newVersion(a), newCompletion(),
	)
	root.SetHelpCommand(newHelp())
	return root
}

// unknownCommand names what may have been meant.
func unknownCommand(parent *cobra.Command, word string) error {
	remedy := fmt.Sprintf("`%s --help` lists the commands", parent.CommandPath())
	if !parent.HasParent() {
		remedy = "`xfwd help` lists the commands"
	}
	if near := parent.SuggestionsFor(word); len(near) > 0 {
		remedy = fmt.Sprintf("did you mean `%s %s`?", parent.CommandPath(), near[0])
	}
	return ctl.Errorf(ctl.ErrSyntax, "there is no command %q; %s", strings.TrimSpace(commandWords(parent)+" "+word), remedy)
}

// commandWords are what calls a command, the name of the program aside.
func commandWords(cmd *cobra.Command) string {
	_, words, _ := strings.Cut(cmd.CommandPath(), " ")
	return words
}

// instance opens the dataplane that the global flags select.
func (a *app) instance() (dataplane, error) {
	return a.open(a.options)
}

// say prints what happened, unless it should not or stdout is for a program.
func (a *app) say(format string, args ...any) {
	if !a.quiet && a.output.isText() {
		fmt.Fprintln(a.stdout, figures.Printable(fmt.Sprintf(format, args...)))
	}
}

// sayAll is say for lines that are finished.
func (a *app) sayAll(lines []string) {
	for _, line := range lines {
		a.say("%s", line)
	}
}

// note tells what was decided for the user, unless that should not be told.
func (a *app) note(notes []string) {
	if a.quiet {
		return
	}
	for _, n := range notes {
		fmt.Fprintf(a.stderr, "note: %s\n", oneLine(n))
	}
}

// warn prints a warning, also when quiet.
func (a *app) warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintf(a.stderr, "warning: %s\n", oneLine(w))
	}
}
