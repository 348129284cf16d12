// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// readSysctl reads a sysctl of the current network namespace, as sysctl(8) names
// it: a dot in the name of a device is a slash. size bounds its length: the kernel
// writes a list into the first buffer that it is given and nothing into a second.
func readSysctl(name string, size int) (string, error) {
	fd, err := unix.Open(sysctlPath(name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", explain("read the sysctl "+name, err)
	}
	defer unix.Close(fd)
	buffer := make([]byte, size)
	n, err := unix.Read(fd, buffer)
	if err != nil {
		return "", explain("read the sysctl "+name, err)
	}
	return strings.TrimSpace(string(buffer[:n])), nil
}

// shortSysctl is room for a number or two.
const shortSysctl = 64

func writeSysctl(name, value string) error {
	err := os.WriteFile(sysctlPath(name), []byte(value+"\n"), 0)
	if errors.Is(err, unix.EROFS) {
		return unsupportedf("set the sysctl %s: /proc/sys cannot be written here, as in most containers; run xfwd outside, with --netns", name)
	}
	return explain("set the sysctl "+name, err)
}

func sysctlPath(name string) string {
	return filepath.Join("/proc/sys", dotsAndSlashes.Replace(name))
}

// dotsAndSlashes changes each into the other.
var dotsAndSlashes = strings.NewReplacer(".", "/", "/", ".")

// ephemeralPorts names the range from which the kernel takes the port of a socket
// that has not asked for one.
const ephemeralPorts = "net.ipv4.ip_local_port_range"

// readPortRange reads a sysctl that is two ports.
func readPortRange(name string) (maps.PortRange, error) {
	var r maps.PortRange
	text, err := readSysctl(name, shortSysctl)
	if err != nil {
		return r, err
	}
	if _, err := fmt.Sscan(text, &r.First, &r.Last); err != nil {
		return r, fmt.Errorf("read the sysctl %s: %q: %w", name, text, err)
	}
	return r, nil
}
