// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"io/fs"
	"net"
	"strconv"
	"strings"

	"github.com/xfwd/xfwd/internal/ctl"
)

// Address is where a server listens: HOST:PORT, or unix: and the path of a socket.
// It is the value of a flag.
type Address string

// DefaultAddress is reached from this host alone.
const DefaultAddress Address = "127.0.0.1:9980"

const unixPrefix = "unix:"

// maxSocketPath is what fits into the kernel's struct sockaddr_un with a zero.
const maxSocketPath = 107

// Set parses an address.
func (a *Address) Set(word string) error {
	if path, is := strings.CutPrefix(word, unixPrefix); is {
		switch {
		case !strings.HasPrefix(path, "/"):
			return ctl.Errorf(ctl.ErrSyntax, "the path of a socket begins with a slash; write one like unix:/run/xfwd/serve.sock")
		case len(path) > maxSocketPath:
			return ctl.Errorf(ctl.ErrSyntax, "the path of a socket has at most %d bytes; choose a shorter one", maxSocketPath)
		}
		*a = Address(word)
		return nil
	}
	_, port, err := net.SplitHostPort(word)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return ctl.Errorf(ctl.ErrSyntax, "write HOST:PORT such as %s, or unix:/PATH", DefaultAddress)
	}
	*a = Address(word)
	return nil
}

func (a *Address) String() string { return string(*a) }

// Type is what the help calls the value.
func (a *Address) Type() string { return "address" }

// socket returns the path of a socket of the file system, if it is one.
func (a Address) socket() (path string, is bool) {
	return strings.CutPrefix(string(a), unixPrefix)
}

// Mode is the permissions of a socket in the file system. It is the value of a flag.
type Mode fs.FileMode

// DefaultMode lets the group in.
const DefaultMode Mode = 0o660

// Set parses an octal number.
func (m *Mode) Set(word string) error {
	bits, err := strconv.ParseUint(word, 8, 32)
	if err != nil || bits > 0o777 {
		return ctl.Errorf(ctl.ErrSyntax, "write permissions in octal, such as 0660")
	}
	*m = Mode(bits)
	return nil
}

func (m *Mode) String() string { return "0" + strconv.FormatUint(uint64(*m), 8) }

// Type is what the help calls the value.
func (m *Mode) Type() string { return "mode" }
