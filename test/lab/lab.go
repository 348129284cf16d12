// SPDX-License-Identifier: Apache-2.0

// Package lab builds small networks out of network namespaces, runs servers,
// clients and xfwd in them, and takes everything away again.
//
// It configures links, addresses, routes, sysctls and offloads by itself, so
// that it works where no networking tool is installed, such as in the initramfs
// of a test VM. All of it needs root. Nothing outside of the namespaces that it
// makes is touched, except for the pins below /sys/fs/bpf that xfwd makes.
package lab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"
)

// TB is the part of testing.TB that a lab needs. A program that is no test,
// such as the demo, brings its own. Fatalf must not return, and what was passed
// to Cleanup runs last first.
type TB interface {
	Helper()
	Cleanup(func())
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
}

// Lab is a set of namespaces that live as long as one test.
type Lab struct {
	tb TB
	// id starts the name of everything that can be seen from outside.
	id string
}

// prefix begins the name of every namespace and pin directory of a lab; the
// process id of the maker follows.
const prefix = "xfwd-"

// New starts a lab that tb's clean-up takes away.
func New(tb TB) *Lab {
	tb.Helper()
	if err := Usable(); err != nil {
		tb.Fatalf("%v", err)
	}
	return &Lab{tb: tb, id: fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), randomName())}
}

// Within makes a subtest the one that fails, logs and cleans up, until it ends.
// It may not run in parallel with others of this lab.
func (l *Lab) Within(subtest TB) {
	outer := l.tb
	l.tb = subtest
	subtest.Cleanup(func() { l.tb = outer })
}

// Usable says whether this process may make namespaces, or why not.
func Usable() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run this as root")
	}
	return nil
}

func randomName() string {
	var b [4]byte
	rand.Read(b[:]) // never fails: see the documentation of crypto/rand
	return hex.EncodeToString(b[:])
}

// Eventually calls done until it returns nil, and fails the test with its last
// error if that takes longer than limit.
func Eventually(tb TB, limit time.Duration, done func() error) {
	tb.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := done()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %v", limit, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
