// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/serve"
)

func newServe(a *app) *cobra.Command {
	var config string
	options := serve.Options{Listen: serve.DefaultAddress, SocketMode: serve.DefaultMode}
	cmd := &cobra.Command{
		Use:     "serve",
		GroupID: groupLook,
		Short:   "Serve a page and metrics, keep up with the host, check backends",
		Long: `Serve what the dataplane counts, over HTTP, until SIGTERM or SIGINT: a page for
browsers at /, /metrics for Prometheus, /healthz (this program runs) and /readyz
(the dataplane is loaded and can be read; otherwise status 503 and a line that
says why). What the page asks for is for others, too: /api/v1/state is one look
at forwards, hooks and reasons, /api/v1/status is ` + "`xfwd status -o json`" + `.

Meanwhile it watches the host: it attaches to devices when they come, follows
routes, addresses and neighbours at once and not within seconds, and forgets
forwards and flows that have expired. It checks the backends of forwards that
were added with --check: one that is down gets no new connections until it is up
again, also if this program ends meanwhile. --read-only leaves all that out, and
needs fewer privileges.

Traffic does not depend on it. It keeps nothing, and may be ended and started at
any time: counters are in the kernel. With --netns it listens here, and is about
the forwards of that namespace.

It answers requests for localhost, the address of --listen and, where that is
every address, any address and the name of this host; others get status 421, as
a browser is led here by any name that somebody else makes up. --host adds
names, such as that of a proxy in front.

--web-config is a file for TLS and basic authentication as of Prometheus's
exporter-toolkit. --config is a file of YAML with the names of these flags as
keys; a flag that is given as well is preferred:

  listen: unix:/run/xfwd/serve.sock
  socket-mode: 0660
  host: xfwd.example.net
  web-config: /etc/xfwd/web.yaml
  read-only: true
  netns: blue
  root: /sys/fs/bpf/xfwd`,
		Example: `  xfwd serve
  xfwd serve --listen :9980 --web-config /etc/xfwd/web.yaml
  xfwd serve --listen unix:/run/xfwd.sock --socket-mode 0600
  xfwd serve --config /etc/xfwd/serve.yaml`,
		Args: between(0, 0, "xfwd serve"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if config != "" {
				if err := readFlags(cmd.Flags(), config, serveKeys); err != nil {
					return err
				}
			}
			options.Version = build().Version
			options.Open = func() (serve.Dataplane, error) { return a.instance() }
			options.Listening = func(at string) { a.say("listening on %s", at) }
			options.Errors = a.stderr
			return serve.Run(cmd.Context(), options)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.Var(&options.Listen, "listen", "listen on this `address`, HOST:PORT or unix:/PATH")
	flags.Var(&options.SocketMode, "socket-mode", "give a unix socket this octal `mode`")
	flags.StringSliceVar(&options.Hosts, "host", nil, "answer also requests for this `name` or address")
	flags.StringVar(&options.WebConfig, "web-config", "", "configure TLS and authentication by this `file`")
	flags.BoolVar(&options.ReadOnly, "read-only", false, "only show the dataplane, and change nothing")
	flags.StringVar(&config, "config", "", "take flags that are not given from this `file`")
	return cmd
}

// serveKeys are the flags of serve that a file may give.
var serveKeys = []string{"listen", "socket-mode", "host", "web-config", "read-only", "netns", "root"}

// readFlags sets the flags that were not given to what a file says. Its keys are the
// names of flags.
func readFlags(flags *pflag.FlagSet, path string, keys []string) error {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot read %s: there is no such file; name another with --config, or leave it out", path)
	case err != nil:
		return fileError("read", path, err)
	}
	words, err := ctl.ParseWords(path, data, keys, "listen: "+string(serve.DefaultAddress))
	if err != nil {
		return err
	}
	for _, key := range keys {
		word, found := words[key]
		if !found || flags.Changed(key) {
			continue
		}
		value := flags.Lookup(key).Value
		err := value.Set(word.Text)
		if err != nil && value.Type() == "bool" {
			err = errors.New("write true or false")
		}
		if err != nil {
			return ctl.Errorf(ctl.ErrSyntax, "%s:%d: %s %q: %w", path, word.Line, key, word.Text, err)
		}
	}
	return nil
}
