#!/bin/bash
# SPDX-License-Identifier: Apache-2.0

# Generates everything anew, in a directory of its own, and fails if a file differs from the committed.

set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r go.mod go.sum vmlinux.h bpf "$copy"
rm -f "$copy"/bpf/*_bpfe[bl].{go,o}
(cd "$copy" && "$root/hack/go" generate ./bpf)

status=0
diff -r bpf "$copy/bpf" || {
	echo "check-generated: run make generate, and commit what it changes" >&2
	status=1
}

# Another kernel may know more values of an enum, which is no fault of the header.
made=$(sed -n "s|^/\* Kernel: \(.*\) \*/$|\1|p" vmlinux.h)
running=$(uname -r | cut -d. -f1,2)
if [ "$made" != "$running" ]; then
	echo "check-generated: vmlinux.h is of Linux $made, so it is not compared on $running"
elif ! hack/vmlinux.sh | diff -u vmlinux.h -; then
	echo "check-generated: run make vmlinux.h, and commit what it changes" >&2
	status=1
fi
[ "$status" != 0 ] || echo "check-generated: no difference"
exit "$status"
