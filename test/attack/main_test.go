// SPDX-License-Identifier: Apache-2.0

// Package attack does what an intruder would: who has no privileges on the host, or has
// root's in a container or a network namespace, or can only reach a port. Each test is a
// way that must not succeed; docs/security.md says what holds. Like the end-to-end tests
// these run the real binary in network namespaces and need root, to make the namespaces.
//
// To add an attack, make a network with test/lab, publish something with xfwd as its owner
// would, attack it, and say what the owner must still be able to do:
//
//	go test ./test/attack -run TestServe -v
package attack

import (
	"os"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
