// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	othersRead  = 0o004
	groupWrites = 0o020
	otherWrites = 0o002
)

// trusted says why another user may own what is pinned in a directory, or take it away,
// or hold its lock, which takes to read it. It looks at the directory and at those above,
// up to the root of the BPF file system: further up nobody can move what is mounted.
func trusted(directory *os.File, name string) error {
	fd := int(directory.Fd())
	var at unix.Stat_t
	if err := unix.Fstat(fd, &at); err != nil {
		return explain("look at "+name, err)
	}
	switch {
	case !ours(at):
		return unsupportedf("%s belongs to %s, who could change what is forwarded: remove it, or choose another directory with --root", name, userName(at.Uid))
	case at.Mode&(groupWrites|otherWrites|othersRead) != 0:
		return unsupportedf("others may write to %s or lock it (its mode is %#o): chmod 0700 %s", name, at.Mode&0o7777, name)
	}
	for above := ".."; ; above += "/.." {
		var parent unix.Stat_t
		if err := unix.Fstatat(fd, above, &parent, 0); err != nil {
			if errors.Is(err, unix.EACCES) {
				return nil // who may not go there cannot see whose it is; nor can most others
			}
			return explain("look at the directories above "+name, err)
		}
		if parent.Dev != at.Dev || parent.Ino == at.Ino {
			return nil
		}
		switch {
		case !ours(parent):
			return unsupportedf("a directory above %s belongs to %s, who could move it away: choose another directory with --root", name, userName(parent.Uid))
		case parent.Mode&(groupWrites|otherWrites) != 0 && parent.Mode&unix.S_ISVTX == 0:
			return unsupportedf("others may move %s away, for they may write to a directory above it (its mode is %#o): chmod go-w that directory, or choose another with --root",
				name, parent.Mode&0o7777)
		}
		at = parent
	}
}

// ours says whether a directory belongs to root or to the user who runs this.
func ours(stat unix.Stat_t) bool { return stat.Uid == 0 || int(stat.Uid) == os.Geteuid() }

func userName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return "user " + number
}
