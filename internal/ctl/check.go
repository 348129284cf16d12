// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"strconv"
	"strings"
	"time"

	"github.com/xfwd/xfwd/internal/maps"
)

// CheckKind is how it is found out whether a backend is alive.
type CheckKind string

// The kinds of checks. Empty is none.
const (
	// CheckTCP connects, and is content if that is accepted.
	CheckTCP CheckKind = "tcp"
	// CheckHTTP asks for a path, and wants a status from 200 to 399.
	CheckHTTP CheckKind = "http"
	// CheckUDP sends a datagram, and is content unless an ICMP error comes back.
	CheckUDP CheckKind = "udp"
)

// CheckKinds returns the choices of --check.
func CheckKinds() []CheckKind {
	return []CheckKind{CheckTCP, CheckHTTP, CheckUDP}
}

// Check is how the backends of a forward are looked after. The zero value is not at
// all.
type Check struct {
	Kind CheckKind
	// Path is what CheckHTTP asks for.
	Path string
	// Port is another one than the backend's; 0 is that, and the first of a range.
	Port uint16
	// Interval is the time from one check of a backend to the next, Timeout how long
	// one may take. Both are whole milliseconds.
	Interval, Timeout time.Duration
	// Rise is how many checks in a row must succeed until a backend that is down is
	// up, Fall how many must fail until it is down.
	Rise, Fall uint8
}

// What a check is unless told otherwise.
const (
	defaultPath     = "/"
	defaultInterval = 5 * time.Second
	defaultTimeout  = 2 * time.Second
	defaultRise     = 2
	defaultFall     = 3
)

// The limits of a check.
const (
	shortestInterval = 100 * time.Millisecond
	longestInterval  = time.Hour
	shortestTimeout  = 10 * time.Millisecond
	mostInARow       = 100
)

// ParseCheck parses KIND[,OPTION=VALUE]... such as http,path=/healthz,interval=2s. The
// options are path, port, interval, timeout, rise and fall. Errors are ErrSyntax.
func ParseCheck(s string) (Check, error) {
	c, err := parseCheck(s)
	if err != nil {
		return Check{}, Errorf(ErrSyntax, "check %q: %w", s, err)
	}
	return c, nil
}

func parseCheck(s string) (Check, error) {
	kind, options, hasOptions := strings.Cut(s, ",")
	c := Check{Interval: defaultInterval, Rise: defaultRise, Fall: defaultFall}
	var err error
	if c.Kind, err = choose("kind of check", CheckKind(kind), CheckKinds()); err != nil || kind == "" {
		return c, Errorf(ErrSyntax, "begin with a kind: %s", orList(CheckKinds()))
	}
	if c.Kind == CheckHTTP {
		c.Path = defaultPath
	}
	said := map[string]bool{}
	for option := range strings.SplitSeq(options, ",") {
		if !hasOptions {
			break
		}
		name, value, _ := strings.Cut(option, "=")
		if said[name] {
			return c, Errorf(ErrSyntax, "%s is given twice; give it once", name)
		}
		said[name] = true
		if err := c.parseOption(name, value); err != nil {
			return c, err
		}
	}
	if c.Timeout == 0 {
		c.Timeout = min(defaultTimeout, c.Interval)
	}
	if c.Timeout > c.Interval {
		return c, Errorf(ErrSyntax, "timeout %s is longer than the interval %s; make it shorter", c.Timeout, c.Interval)
	}
	return c, nil
}

func (c *Check) parseOption(name, value string) (err error) {
	switch name {
	case "path":
		c.Path, err = parsePath(c.Kind, value)
	case "port":
		var ports PortRange
		if ports, err = parsePorts(value); err == nil && ports.First != ports.Last {
			err = Errorf(ErrSyntax, "port %s is a range; give one port", value)
		}
		c.Port = ports.First
	case "interval":
		c.Interval, err = parseTime(name, value, shortestInterval)
	case "timeout":
		c.Timeout, err = parseTime(name, value, shortestTimeout)
	case "rise":
		c.Rise, err = parseInARow(name, value)
	case "fall":
		c.Fall, err = parseInARow(name, value)
	default:
		err = Errorf(ErrSyntax, "%q is no option of a check; there are path, port, interval, timeout, rise and fall", name)
	}
	return err
}

func parsePath(kind CheckKind, s string) (string, error) {
	switch {
	case kind != CheckHTTP:
		return "", Errorf(ErrSyntax, "path is for checks of kind http; leave it out")
	case !strings.HasPrefix(s, "/") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", Errorf(ErrSyntax, "path %q is not one of a URL; write one like /healthz, other characters as %%2C", s)
	case len(s) >= maps.MaxPath:
		return "", Errorf(ErrSyntax, "path has %d bytes; at most %d can be", len(s), maps.MaxPath-1)
	}
	return s, nil
}

func parseTime(name, s string, shortest time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < shortest || d > longestInterval {
		return 0, Errorf(ErrSyntax, "%s %q is not a duration from %s to %s; write one like 2s", name, s, shortest, longestInterval)
	}
	return d.Truncate(time.Millisecond), nil
}

func parseInARow(name, s string) (uint8, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n < 1 || n > mostInARow {
		return 0, Errorf(ErrSyntax, "%s %q is not a number from 1 to %d; write one like 3", name, s, mostInARow)
	}
	return uint8(n), nil
}

// String returns the check as ParseCheck reads it, without what goes without saying;
// none is empty.
func (c Check) String() string {
	s := string(c.Kind)
	if s == "" {
		return ""
	}
	add := func(differs bool, name, value string) {
		if differs {
			s += "," + name + "=" + value
		}
	}
	add(c.Kind == CheckHTTP && c.Path != defaultPath, "path", c.Path)
	add(c.Port != 0, "port", strconv.Itoa(int(c.Port)))
	add(c.Interval != defaultInterval, "interval", FormatDuration(c.Interval))
	add(c.Timeout != min(defaultTimeout, c.Interval), "timeout", FormatDuration(c.Timeout))
	add(c.Rise != defaultRise, "rise", strconv.Itoa(int(c.Rise)))
	add(c.Fall != defaultFall, "fall", strconv.Itoa(int(c.Fall)))
	return s
}

func checkFromKernel(k maps.Check) Check {
	return Check{checkWords[k.Kind], k.Path, k.Port, k.Interval, k.Timeout, k.Rise, k.Fall}
}

func (c Check) toKernel() maps.Check {
	return maps.Check{
		Kind:     checkNumbers[c.Kind],
		Path:     c.Path,
		Port:     c.Port,
		Interval: c.Interval,
		Timeout:  c.Timeout,
		Rise:     c.Rise,
		Fall:     c.Fall,
	}
}
