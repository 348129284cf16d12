#!/bin/bash
# SPDX-License-Identifier: Apache-2.0

# Runs every check of style, and fails after the last one if any of them did.

set -uo pipefail
shopt -s globstar nullglob
cd "$(dirname "$0")/.." || exit

# check NAME COMMAND...: a command fails if its status says so.
failed=()
check() {
	echo "lint: $1"
	"${@:2}" || failed+=("$1")
}

# nothing COMMAND...: fails if the command prints anything, which is what is wrong.
nothing() {
	local found
	found=$("$@") && [ -z "$found" ] && return
	printf '%s\n' "$found" >&2
	return 1
}

# unit FILE EXPOSURE: checks a unit, with a command that exists in place of an xfwd that is not installed, and
# that it is exposed no more than to that degree, of a hundred.
unit() {
	local dir status
	dir=$(mktemp -d)
	sed 's|/usr/local/bin/xfwd|/bin/true|' "$1" >"$dir/${1##*/}"
	systemd-analyze verify "$dir/${1##*/}" &&
		nothing exposed "$dir/${1##*/}" "$2"
	status=$?
	rm -r "$dir"
	return "$status"
}

# exposed FILE EXPOSURE: prints why a unit is exposed more than that.
exposed() {
	local why
	why=$(systemd-analyze security --no-pager --offline=yes --threshold="$2" "$1") || printf '%s\n' "$why"
}

go=(**/*.go)
c=(bpf/*.c bpf/*.h)
scripts=(.ci/run hack/go hack/*.sh)

check gofmt nothing "$(hack/go env GOROOT)/bin/gofmt" -l "${go[@]}"
check "go vet" hack/go vet ./...
check staticcheck hack/go tool -modfile=hack/tools.mod staticcheck ./...
check clang-format clang-format-19 --dry-run -Werror "${c[@]}"
check shellcheck shellcheck "${scripts[@]}"
check "systemd unit" unit deploy/systemd/xfwd.service 55
check "systemd unit of serve" unit deploy/systemd/xfwd-serve.service 30
check "licence lines" nothing grep -LE 'SPDX-License-Identifier|^// Code generated' \
	Makefile "${go[@]}" "${c[@]}" "${scripts[@]}"

[ ${#failed[@]} = 0 ] || {
	printf 'lint: failed: %s\n' "${failed[@]}" >&2
	exit 1
}
