#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# Runs a browser without a window: this system's, or that of the Debian which hack/setup.sh has made below
# .tools. As root. It takes the place of this process, as whoever wants to end it expects.

set -eu

browser=chromium-headless-shell
debian=$(cd "$(dirname "$0")/.." && pwd)/.tools/debian

if command -v $browser >/dev/null; then
	exec $browser "$@"
fi
[ -e "$debian" ] || {
	echo "browser: there is neither $browser nor $debian; hack/setup.sh page installs one" >&2
	exit 1
}
# The mounts are this process's own, and end with it. What others give the browser is below /tmp.
# shellcheck disable=SC2016 # what the inner shell expands
exec unshare --mount --propagation private sh -eu -c '
	debian=$1 browser=$2
	shift 2
	mount --rbind /dev "$debian/dev"
	mount --rbind /proc "$debian/proc"
	mount --rbind /sys "$debian/sys"
	mount --bind /tmp "$debian/tmp"
	exec chroot "$debian" "/usr/bin/$browser" "$@"
' sh "$debian" $browser "$@"
