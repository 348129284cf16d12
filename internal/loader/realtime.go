// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// CheckKernel returns ErrUnsupported if this kernel would mix up packets. The programs keep one
// packet at a time in memory of the processor, which is right where a packet is not interrupted
// by another one on its processor. A real-time kernel (PREEMPT_RT) can be preempted anywhere; up
// to Linux 6.17 a lock of the processor kept packets apart all the same, and from 6.18 on it does
// so with CONFIG_PREEMPT_RT_NEEDS_BH_LOCK only.
func CheckKernel() error { return checkKernel(os.DirFS("/")) }

// bhLock is the option of a real-time kernel for the lock.
const bhLock = "CONFIG_PREEMPT_RT_NEEDS_BH_LOCK"

// checkKernel is CheckKernel for a host with this root directory.
func checkKernel(root fs.FS) error {
	if !isRealtime(root) {
		return nil
	}
	release := readLine(root, "proc/sys/kernel/osrelease")
	optional := hasOptionalBHLock(release)
	options, found := kernelConfig(root, release)
	switch lock, mentioned := bhLockOf(options); {
	case lock, !mentioned && !optional:
		return nil
	case !found:
		return unsupportedf("this is a real-time kernel of Linux 6.18 or newer (%s), which would mix up packets unless it has %s, and its configuration is not found: "+
			"if it has, put its configuration into /boot/config-%s; otherwise boot another kernel", release, bhLock, release)
	}
	return unsupportedf("this real-time kernel (%s) would mix up packets: it has no %s; boot one that has, or one that is not PREEMPT_RT", release, bhLock)
}

// isRealtime says whether the kernel is built with CONFIG_PREEMPT_RT. A file says so where the
// patches for real time are applied, otherwise the kernel's version as of `uname -v`.
func isRealtime(root fs.FS) bool {
	if readLine(root, "sys/kernel/realtime") == "1" {
		return true
	}
	version := readLine(root, "proc/sys/kernel/version")
	return strings.Contains(version, "PREEMPT_RT") || strings.Contains(version, "PREEMPT RT")
}

// hasOptionalBHLock says whether kernels of a release may be without the lock. What is no release
// of Linux may be.
func hasOptionalBHLock(release string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return true
	}
	return major > 6 || major == 6 && minor >= 18
}

// bhLockOf says whether a kernel's configuration has the lock, and whether it mentions it at all,
// as it does wherever the option exists.
func bhLockOf(options string) (lock, mentioned bool) {
	for line := range strings.Lines(options) {
		switch strings.TrimSpace(line) {
		case bhLock + "=y":
			return true, true
		case "# " + bhLock + " is not set":
			return false, true
		}
	}
	return false, false
}

// kernelConfig returns the configuration of the running kernel from where kernels and
// distributions keep it.
func kernelConfig(root fs.FS, release string) (options string, found bool) {
	for _, path := range []string{"proc/config.gz", "boot/config-" + release, "lib/modules/" + release + "/config"} {
		if options, err := readConfig(root, path); err == nil {
			return options, true
		}
	}
	return "", false
}

// readConfig reads a file that may be compressed.
func readConfig(root fs.FS, path string) (string, error) {
	file, err := root.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	var reader io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if reader, err = gzip.NewReader(bufio.NewReader(file)); err != nil {
			return "", err
		}
	}
	// Today's have a third of a megabyte.
	const longest = 16 << 20
	options, err := io.ReadAll(io.LimitReader(reader, longest))
	return string(options), err
}

// readLine reads a file that is one line; it is empty if the file cannot be read.
func readLine(root fs.FS, path string) string {
	line, err := fs.ReadFile(root, path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(line))
}
