// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

func TestAProgramSeesTheCookieThatASocketTells(t *testing.T) {
	n := lab.New(t).Namespace("cookie")
	n.Do(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		seen, err := cookieByProgram(fd)
		if err != nil {
			t.Fatal(err)
		}
		told, err := readCookie()
		if err != nil {
			t.Fatal(err)
		}
		if seen != told || seen == 0 {
			t.Errorf("the program sees cookie %d, the socket tells %d", seen, told)
		}
	})
}
