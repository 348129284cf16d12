// SPDX-License-Identifier: Apache-2.0

// Package page tests the page of `xfwd serve` as its readers meet it: in a real
// browser, beside a host with real traffic. The tests need root.
package page

import (
	"os"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
