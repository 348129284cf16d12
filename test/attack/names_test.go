// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/xfwd/xfwd/test/lab"
)

// nasty are names that the kernel lets a device have. They clear the screen, change the
// title and the direction of the text of terminals, or are no text at all.
var nasty = []string{"e\x1b[2Jth\xff", "\x1b]0;a\a", "\u009b2J\u202ex", "a\x7f\x08\\\""}

// mustBeClean fails the test if a terminal would take a part of a text for a command.
func mustBeClean(t *testing.T, what, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s: some of this is no text:\n%q", what, text)
	}
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%s: %q is in:\n%q", what, r, text)
			return
		}
	}
}

// Names that others give devices reach no terminal as they are, whatever shows them.
func TestNamesOfDevices(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.SecondLink()
	x := net.Host.XFWD()
	x.Add("80", "30080", "--device", "eth1")
	s := x.Serve()
	for i, name := range nasty {
		from := "eth1"
		if i > 0 {
			from = nasty[i-1]
		}
		net.Host.Rename(from, name)
		net.Host.AlternativeName(name, "alt\x1b[31m"+name)
		for _, command := range [][]string{
			{"status"}, {"status", "-o", "wide"}, {"status", "-o", "json"}, {"status", "-o", "yaml"},
			{"list"}, {"list", "-o", "wide"}, {"list", "-o", "json"}, {"show", "80"}, {"stats"}, {"flows"}, {"save", "-"},
			{"add", "81", "30081", "--device", name}, {"add", "81", "30081", "--device", "alt\x1b[31m" + name},
			{"add", "81", "30081", "--device", "alt\x1b[31m+"},
			{"add", "82", "30081", "--name", name}, {"add", "82", "30081", "--comment", name},
			{"add", name, "30081"}, {"add", "83", name}, {"del", name}, {"show", name}, {name}, {"list", "--" + name},
			{"add", "84", "198.18.4.2:80"}, {"apply", "-f", name}, {"unload", name}, {"top", name}, {"watch", name},
			{"save", filepath.Join(t.TempDir(), "no", name)}, {"completion", name}, {"serve", "--listen", name},
		} {
			result := x.Run(command...)
			mustBeClean(t, strings.Join(command, " "), result.Stdout+result.Stderr)
			if command[len(command)-1] == "json" && !json.Valid([]byte(result.Stdout)) {
				t.Errorf("%q: no JSON: %s", command, result.Stdout)
			}
		}
		result := x.RunCommand(x.CommandIn(name, "list"))
		mustBeClean(t, "a namespace of that name", result.Stdout+result.Stderr)
		for _, path := range []string{"/metrics", "/api/v1/state", "/api/v1/status", "/readyz"} {
			mustBeClean(t, path, s.MustGet(path).Body)
		}
		if up := s.Metrics()["xfwd_up"]; up != 1 {
			t.Errorf("xfwd_up is %v", up)
		}
	}
	s.Kill()
	mustBeClean(t, "serve", s.Stderr.String()+s.Stdout.String())
}

// Names of namespaces and of files reach no terminal as they are.
func TestNamesOfNamespaces(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	x.Add("80", "30080")
	link := filepath.Join(t.TempDir(), "ns\x1b[2J\xff")
	if err := os.Symlink(net.Host.Path(), link); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"list"}, {"add", "81", "30081"}} {
		result := x.RunCommand(x.CommandIn(link, args...))
		if result.Status != 0 {
			t.Errorf("%q: status %d", args, result.Status)
		}
		mustBeClean(t, strings.Join(args, " "), result.Stdout+result.Stderr)
	}
	result := x.RunCommand(x.CommandIn(link+"-gone", "list"))
	mustBeClean(t, "an error", result.Stdout+result.Stderr)
}
