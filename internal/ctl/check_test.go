// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseCheck(t *testing.T) {
	for word, want := range map[string]Check{
		"tcp":                                  {Kind: CheckTCP, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3},
		"udp,interval=1s":                      {Kind: CheckUDP, Interval: time.Second, Timeout: time.Second, Rise: 2, Fall: 3},
		"http":                                 {Kind: CheckHTTP, Path: "/", Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3},
		"http,path=/healthz,port=8080":         {Kind: CheckHTTP, Path: "/healthz", Port: 8080, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3},
		"tcp,interval=250ms,timeout=100ms":     {Kind: CheckTCP, Interval: 250 * time.Millisecond, Timeout: 100 * time.Millisecond, Rise: 2, Fall: 3},
		"tcp,interval=1m,rise=1,fall=10":       {Kind: CheckTCP, Interval: time.Minute, Timeout: 2 * time.Second, Rise: 1, Fall: 10},
		"http,path=/a?b=c,interval=1h":         {Kind: CheckHTTP, Path: "/a?b=c", Interval: time.Hour, Timeout: 2 * time.Second, Rise: 2, Fall: 3},
		"http,path=/x,timeout=5s,rise=3":       {Kind: CheckHTTP, Path: "/x", Interval: 5 * time.Second, Timeout: 5 * time.Second, Rise: 3, Fall: 3},
		"udp,port=53,interval=10s,timeout=10s": {Kind: CheckUDP, Port: 53, Interval: 10 * time.Second, Timeout: 10 * time.Second, Rise: 2, Fall: 3},
	} {
		c, err := ParseCheck(word)
		if err != nil {
			t.Errorf("%s: %v", word, err)
			continue
		}
		if c != want {
			t.Errorf("%s is %+v, want %+v", word, c, want)
		}
		if s := c.String(); s != word {
			t.Errorf("%s is written as %s", word, s)
		}
		if k := checkFromKernel(c.toKernel()); k != c {
			t.Errorf("%s comes back from the kernel as %+v", word, k)
		}
	}
}

func TestBadChecks(t *testing.T) {
	for word, want := range map[string]string{
		"":                                       "begin with a kind: tcp, http or udp",
		"ping":                                   "begin with a kind",
		"tcp,":                                   "no option of a check",
		"tcp,path=/":                             "for checks of kind http",
		"http,path=healthz":                      "write one like /healthz",
		"http,path=/a b":                         "write one like /healthz",
		"http,path=/" + strings.Repeat("x", 127): "at most 127",
		"tcp,port=0":                             "port",
		"tcp,port=80-90":                         "give one port",
		"tcp,interval=1":                         "write one like 2s",
		"tcp,interval=10ms":                      "from 100ms",
		"tcp,interval=1s,timeout=2s":             "longer than the interval",
		"tcp,rise=0":                             "from 1 to 100",
		"tcp,fall=101":                           "from 1 to 100",
		"tcp,fall=3,fall=3":                      "given twice",
		"tcp,weight=3":                           "no option of a check",
	} {
		_, err := ParseCheck(word)
		if !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", word, err, want)
		}
	}
}
