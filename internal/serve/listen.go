// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/ctl"
)

// another is what to do about an address that cannot be had.
const another = "choose another with --listen"

// listen opens the address of the options.
func listen(o Options) (net.Listener, error) {
	path, isSocket := o.Listen.socket()
	if !isSocket {
		l, err := net.Listen("tcp", string(o.Listen))
		return l, listenError(o.Listen, err)
	}
	if err := removeDead(path); err != nil {
		return nil, err
	}
	// Not changed afterwards: until then others could connect.
	umask := unix.Umask(0o777 &^ int(o.SocketMode))
	l, err := net.Listen("unix", path)
	unix.Umask(umask)
	return l, listenError(o.Listen, err)
}

// removeDead removes a socket that nobody listens on, which a server that was killed
// has left.
func removeDead(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil // listening tells what is wrong, if anything is
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s is there and no socket; remove it, or %s", path, another)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		return conn.Close()
	}
	if errors.Is(err, unix.ECONNREFUSED) {
		return os.Remove(path)
	}
	return nil
}

// listenError says what to do where an address cannot be listened on.
func listenError(a Address, err error) error {
	var number unix.Errno
	switch errors.As(err, &number); {
	case err == nil:
		return nil
	case number == unix.EADDRINUSE:
		return fmt.Errorf("another program listens on %s; end it, or %s", a, another)
	case number == unix.EADDRNOTAVAIL:
		return fmt.Errorf("%s is no address of this host; %s", a, another)
	case number == unix.EACCES, number == unix.EPERM:
		return ctl.Errorf(ctl.ErrUnsupported, "listen on %s: permission denied; run as root, or %s", a, another)
	case number == unix.ENOENT:
		return fmt.Errorf("the directory of %s is missing; make it, or %s", a, another)
	}
	return fmt.Errorf("listen on %s: %w; %s", a, err, another)
}
