// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the linker for a release.
var version string

// buildView is what `xfwd version` shows.
type buildView struct {
	Version string `json:"version"`
	// Commit is empty where the build had no repository.
	Commit string `json:"commit"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		GroupID: groupSystem,
		Short:   "Print the versions of xfwd and the kernel",
		Example: `  xfwd version
  xfwd version -o json`,
		Args: between(0, 0, "xfwd version"),
		RunE: func(*cobra.Command, []string) error {
			b := build()
			if !a.output.isText() {
				return a.encode(b)
			}
			fmt.Fprintf(a.stdout, "xfwd %s, commit %s, Linux %s, %s\n", b.Version, cmp.Or(b.Commit, "unknown"), b.Kernel, b.Go)
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

// build describes the running program and kernel.
func build() buildView {
	b := buildView{Version: version, Kernel: "unknown", Go: runtime.Version()}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		b.Kernel = strings.TrimSpace(string(release))
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = cmp.Or(b.Version, info.Main.Version)
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = s.Value
		}
	}
	return b
}
