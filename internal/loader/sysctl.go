// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// sysctlSize is more than any sysctl of ours can have: 32768 single ports with
// their commas are less than 200 KB.
const sysctlSize = 256 << 10

// readSysctl reads a sysctl of the current network namespace. The kernel writes
// a list of ports into the first buffer it is given and nothing into a second
// one, so there is only one.
func readSysctl(name string) (string, error) {
	fd, err := unix.Open(sysctlPath(name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", explain("read the sysctl "+name, err)
	}
	defer unix.Close(fd)
	buffer := make([]byte, sysctlSize)
	n, err := unix.Read(fd, buffer)
	if err != nil {
		return "", explain("read the sysctl "+name, err)
	}
	return strings.TrimSpace(string(buffer[:n])), nil
}

func writeSysctl(name, value string) error {
	return explain("set the sysctl "+name, os.WriteFile(sysctlPath(name), []byte(value+"\n"), 0))
}

// sysctlPath returns the file of a sysctl in whose name no device has a dot.
func sysctlPath(name string) string {
	return filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
}

// ephemeralPorts names the range from which the kernel takes the port of a socket
// that has not asked for one.
const ephemeralPorts = "net.ipv4.ip_local_port_range"

// readPortRange reads a sysctl that is two ports.
func readPortRange(name string) (maps.PortRange, error) {
	var r maps.PortRange
	text, err := readSysctl(name)
	if err != nil {
		return r, err
	}
	if _, err := fmt.Sscan(text, &r.First, &r.Last); err != nil {
		return r, fmt.Errorf("read the sysctl %s: %q: %w", name, text, err)
	}
	return r, nil
}
