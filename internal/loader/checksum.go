// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// xenDriver is that of the network cards of Xen. What another guest, or the host of the
// guests, has sent comes without a finished checksum, and no setting of the card ends that.
const xenDriver = "vif"

// checksums says which devices receive packets whose checksums nobody has finished: the sender
// has left that to a device, and no wire was on the way. A packet of the network stack has a
// note of that (CHECKSUM_PARTIAL), which is lost when XDP sends the packet on, so whoever
// receives it throws it away.
type checksums struct {
	// devices are those of the current namespace.
	devices []*device
	// namespaces are files of other network namespaces, by the numbers that this one has for them.
	namespaces func() map[int]string
}

// whyUnfinished says why a device receives such packets, and what helps; it is empty if none
// come. Unseen is set if that could not be found out, and may not be so.
func (c checksums) whyUnfinished(d *device) (why string, unseen bool) {
	switch {
	case d.kind == "veth":
		return c.whyPeerUnfinished(d)
	case d.kind == "bond":
		for _, port := range c.devices {
			if port.master == d && why == "" {
				why, unseen = c.whyUnfinished(port)
			}
		}
		return why, unseen
	case d.machine:
		return "a virtual machine leaves checksums to it, which XDP cannot finish", false
	case d.kind == hardwareKind && readHardware(d.name).driver == xenDriver:
		return "Xen hands over packets of this machine without checksums, which XDP cannot finish", false
	}
	return "", false
}

// whyPeerUnfinished is whyUnfinished for one end of a pair. The other end finishes checksums
// itself if it is told to offer no offload of them.
func (c checksums) whyPeerUnfinished(d *device) (why string, unseen bool) {
	const unseenPeer = "its other end may leave checksums to it, which XDP cannot finish, and cannot be asked: " +
		"its network namespace is not found; --xdp %s=auto leaves it to tc"
	other, err := d.otherEnd()
	if err != nil {
		return fmt.Sprintf(unseenPeer, d.name), true
	}
	name, command := other.Attrs().Name, "ethtool"
	var leaves bool
	if d.otherNamespace < 0 {
		leaves, err = leavesChecksums(name)
	} else {
		path := c.namespaces()[d.otherNamespace]
		command = "nsenter --net=" + path + " " + command
		leaves, err = leavesChecksumsIn(path, name)
	}
	switch {
	case err != nil:
		return fmt.Sprintf(unseenPeer, d.name), true
	case leaves:
		return fmt.Sprintf("its other end leaves checksums to it, which XDP cannot finish: `%s -K %s tx off`", command, name), false
	}
	return "", false
}

// leavesChecksumsIn is leavesChecksums for a device of another network namespace.
func leavesChecksumsIn(path, name string) (leaves bool, err error) {
	if path == "" {
		return false, unix.ENOENT
	}
	namespace, err := OpenNamespace(path)
	if err != nil {
		return false, err
	}
	defer namespace.Close()
	err = namespace.Do(func() error {
		leaves, err = leavesChecksums(name)
		return err
	})
	return leaves, err
}

// leavesChecksums says whether a device of the current namespace takes packets to be sent whose
// checksums are not finished yet.
func leavesChecksums(name string) (bool, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	// struct ethtool_value.
	offload := struct{ command, value uint32 }{command: unix.ETHTOOL_GTXCSUM}
	err = ethtool(fd, name, unsafe.Pointer(&offload))
	return offload.value != 0, err
}

// namespaceFiles are files of network namespaces, by the numbers that the current one has for
// them: those that have names, and those of processes.
func namespaceFiles() map[int]string {
	files := make(map[int]string)
	seen := make(map[uint64]bool)
	for _, pattern := range []string{netnsDir + "/*", "/proc/[0-9]*/ns/net"} {
		// A pattern that is well-formed gives no error.
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			addNamespaceFile(files, seen, path)
		}
	}
	return files
}

// addNamespaceFile adds a file of a network namespace, unless there is one already. Seen are the
// inodes of those that were looked at. What has gone meanwhile, or is none, is left out.
func addNamespaceFile(files map[int]string, seen map[uint64]bool, path string) {
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	var stat unix.Stat_t
	if unix.Fstat(int(file.Fd()), &stat) != nil || seen[stat.Ino] {
		return
	}
	seen[stat.Ino] = true
	if number, err := netlink.GetNetNsIdByFd(int(file.Fd())); err == nil && number >= 0 {
		files[number] = path
	}
}
