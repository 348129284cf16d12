// SPDX-License-Identifier: Apache-2.0

// Package serve is a daemon that shows what the dataplane does: metrics, and whether
// all is well; keeps it up to date with the host; and checks whether backends are alive.
// Traffic does not depend on it. It
// keeps nothing of the dataplane open between two questions, so that each is answered by
// what is there at the moment, loaded, upgraded or unloaded as it may be meanwhile.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/metrics"
)

// Dataplane is what is asked, and then closed.
type Dataplane interface {
	Measure(context.Context) (ctl.Measurement, error)
	Status(context.Context) (ctl.Status, error)
	Loaded(context.Context) (bool, error)
	Watch(context.Context, ctl.Watcher) error
	Sweep(context.Context) (ctl.Swept, error)
	Expire(context.Context) ([]ctl.Forward, error)
	Checked(context.Context, ctl.Revision) ([]ctl.CheckedBackend, ctl.Revision, error)
	SetHealth(context.Context, []ctl.BackendHealth) ([]ctl.BackendHealth, error)
	ReplaceSocket(syscall.RawConn) error
	Close() error
}

// Options are what a server does.
type Options struct {
	Listen     Address
	SocketMode Mode
	// Hosts are names and addresses of this server, beside those that it listens on.
	Hosts []string
	// WebConfig is a file of github.com/prometheus/exporter-toolkit, for TLS and basic
	// authentication; empty is neither.
	WebConfig string
	// ReadOnly changes nothing of the dataplane.
	ReadOnly bool
	// Version is that of the program.
	Version string
	// Open opens the dataplane, loaded or not.
	Open func() (Dataplane, error)
	// Listening is called with the address, once the server listens there.
	Listening func(at string)
	// Errors gets what goes wrong while it runs, one line each.
	Errors io.Writer
}

// parting is how long answers that are on their way may take when the server ends.
const parting = 5 * time.Second

// Run serves until the context ends, which is no error.
func Run(ctx context.Context, o Options) error {
	if err := checkWebConfig(o.WebConfig); err != nil {
		return err
	}
	source := newSource(o)
	if err := source.check(ctx); err != nil {
		return err
	}
	listener, err := listen(o)
	if err != nil {
		return err
	}
	limited := newLimited(listener)
	defer limited.Close()
	hosts := hostsOf(listener.Addr(), o)
	registry := newRegistry(source, o.Version)
	handler, err := newHandler(source, registry, o.Version, hosts)
	if err != nil {
		return err
	}
	log := slog.NewTextHandler(o.Errors, &slog.HandlerOptions{Level: slog.LevelWarn})
	server := &http.Server{
		Handler:           limited.watch(handler),
		ConnContext:       limited.context,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    mostHeader,
		// Clients that are refused have nothing to do with us.
		ErrorLog: slog.NewLogLogger(log, slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() {
		served <- web.Serve(limited, server, &web.FlagConfig{WebConfigFile: &o.WebConfig}, slog.New(log))
	}()
	o.Listening(listener.Addr().String())
	tellReady(ctx)
	if !o.ReadOnly {
		u := &upkeep{source: source, counts: metrics.NewUpkeep(registry), log: o.Errors}
		c := newChecks(source, metrics.NewChecks(registry), o)
		var kept sync.WaitGroup
		keeping, stop := context.WithCancel(ctx)
		kept.Go(func() { u.run(keeping) })
		kept.Go(func() { c.run(keeping) })
		defer func() { stop(); kept.Wait() }()
	}
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", o.Listen, err)
	case <-ctx.Done():
	}
	tellStopping()
	ending, cancel := context.WithTimeout(context.Background(), parting)
	defer cancel()
	if server.Shutdown(ending) != nil {
		server.Close()
	}
	<-served
	return nil
}

// checkWebConfig says what is wrong with a file for TLS and basic authentication.
func checkWebConfig(path string) error {
	err := web.Validate(path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("web configuration: %w; name another file with --web-config, or leave it out", err)
	case errors.Is(err, fs.ErrPermission):
		return ctl.Errorf(ctl.ErrUnsupported, "web configuration: %w; run as root, or name another file", err)
	}
	return ctl.Errorf(ctl.ErrSyntax, "web configuration %s: %w; https://github.com/prometheus/exporter-toolkit says what can be there", path, err)
}
