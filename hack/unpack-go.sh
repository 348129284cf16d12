#!/bin/bash
# SPDX-License-Identifier: Apache-2.0

# Unpacks the Go of bookworm-backports below .tools, for a Debian 12 whose own Go is too old to fetch a
# newer one. It needs no root. Backports are asked with an apt configuration of their own: among the
# system's suites, any later installation could take from them.

set -euo pipefail

# shellcheck source=/dev/null
release=$(. /etc/os-release && echo "$ID $VERSION_ID")
[ "$release" = "debian 12" ] || {
	echo "setup: $release has no package of Go 1.21 or newer: install one from https://go.dev/dl" >&2
	exit 1
}

tools=$(cd "$(dirname "$0")/.." && pwd)/.tools
mkdir -p "$tools"
tmp=$(mktemp -d "$tools/go-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp"/{state/lists/partial,cache/archives/partial,root}
# Backports are where bookworm itself is.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
	awk '$2 == "bookworm" { print $1; exit }')
[ -n "$mirror" ] || {
	echo "setup: apt knows no mirror of bookworm: add one to its sources" >&2
	exit 1
}
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm-backports main" \
	>"$tmp/sources.list"
apt=(-qq -o Dir::Etc::SourceList="$tmp/sources.list" -o Dir::Etc::SourceParts=-
	-o Dir::State="$tmp/state" -o Dir::State::Status=/var/lib/dpkg/status
	-o Dir::Cache="$tmp/cache" -o APT::Sandbox::User=)

echo "setup: unpacking the Go of bookworm-backports below .tools" >&2
apt-get "${apt[@]}" update
version=$(apt-cache "${apt[@]}" search --names-only '^golang-1\.[0-9]+-go$' |
	sed 's/^golang-\(.*\)-go .*/\1/' | sort -V | tail -n 1)
(cd "$tmp" && apt-get "${apt[@]}" download "golang-$version-go" "golang-$version-src")
for package in "$tmp"/*.deb; do
	dpkg-deb -x "$package" "$tmp/root"
done
# The tree refers to /usr/share by relative links, so it moves as a whole.
rm -rf "$tools/root" "$tools/go"
mv "$tmp/root" "$tools/root"
ln -s "root/usr/lib/go-$version" "$tools/go"
