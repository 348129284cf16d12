#!/bin/bash
# SPDX-License-Identifier: Apache-2.0

# Installs what building, trying and testing xfwd takes and this machine lacks, on Debian and Ubuntu:
#
#   hack/setup.sh GROUP...      build, demo, test, page, screenshots, vm, bench, lint or
#                               generate
#
# It looks for commands, not for packages, so whatever is there already, in whatever way it came, is left
# alone, and when all is there it does nothing at all. No service that comes with a package is started,
# now or at the next boot.

set -euo pipefail

tools=$(cd "$(dirname "$0")/.." && pwd)/.tools
# A Debian with a browser, for systems that have none without a window; see hack/browser.sh.
debian=$tools/debian
# What checks whether a page is accessible, and the sum of it.
axe=$tools/axe-core/axe.min.js
axe_version=4.14.1
axe_sum=29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c

# commands GROUP: prints what a group takes, as COMMAND=PACKAGE. Go is a case of its own.
commands() {
	case $1 in
	build) ;;
	demo) echo ip=iproute2 nginx=nginx-light curl=curl ;;
	bench) echo nft=nftables iptables-nft=iptables haproxy=haproxy nginx=nginx-light ;;
	# A test takes a sample of each benchmark.
	test) echo curl=curl iperf3=iperf3 dig=bind9-dnsutils tracepath=iputils-tracepath ip=iproute2 tc=iproute2 \
		iptables-legacy=iptables sysctl=procps ipvsadm=ipvsadm wg=wireguard-tools wrk=wrk psql=postgresql-client pg_ctlcluster=postgresql \
		ssh=openssh-client sshd=openssh-server prometheus=prometheus promtool=prometheus tmux=tmux \
		dockerd=docker.io docker=docker.io \
		"bpftool=$(bpftool_package)" && commands bench ;;
	# A browser without a window, a terminal without one, and what fetches what checks pages, unless that is there.
	page) browser && echo nsenter=util-linux tmux=tmux && { [ -e "$axe" ] || echo npm=npm; } ;;
	screenshots) echo /usr/share/fonts/opentype/inter=fonts-inter \
		/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf=fonts-dejavu-core && commands page ;;
	# The guests of test/vm get the programs of the tests.
	vm) echo xz=xz-utils /usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring && debian_mirror && commands test ;;
	lint) echo clang-format-19=clang-format-19 shellcheck=shellcheck systemd-analyze=systemd ;;
	generate) echo clang-19=clang-19 llvm-strip-19=llvm-19 ;;
	*) fail "no group is called \"$1\"; there are build, demo, test, page, screenshots, vm, bench, lint and generate" ;;
	esac
}

# bpftool_package: prints what has bpftool, which on Ubuntu is a part of each kernel.
bpftool_package() {
	if grep -q '^ID=ubuntu' /etc/os-release; then
		echo "linux-tools-$(uname -r)"
	else
		echo bpftool
	fi
}

# browser: prints what has one without a window, or what fetches a Debian that has.
browser() {
	if grep -q '^ID=debian' /etc/os-release; then
		echo chromium-headless-shell=chromium-headless-shell
	elif lacks_browser; then
		echo /usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring /usr/sbin/debootstrap=debootstrap
	fi
}

lacks_browser() {
	! have chromium-headless-shell && [ ! -e "$debian" ]
}

# debian_mirror: prints what knows a Debian mirror where the machine's own sources do not.
debian_mirror() {
	grep -q '^ID=debian' /etc/os-release || echo /usr/sbin/debootstrap=debootstrap
}

# have COMMAND: tells whether it is there, be it a path or a name. Administrators' commands are not in every
# user's PATH, and Ubuntu's bpftool may be a script that misses the kernel's own.
have() {
	local PATH=$PATH:/usr/sbin:/sbin
	case $1 in
	bpftool) bpftool version >/dev/null 2>&1 ;;
	/*) [ -e "$1" ] ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

fail() {
	echo "setup: $*" >&2
	exit 1
}

# as_root COMMAND...: runs it, with sudo if need be.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# quietly COMMAND...: shows what it prints only if it fails.
quietly() {
	local output
	output=$("$@" 2>&1 </dev/null) || {
		printf '%s\n' "$output" >&2
		return 1
	}
}

# hold_services: keeps packages from starting their services as long as this script lives. A machine
# that has a policy already, as containers do, keeps it.
hold_services() {
	[ ! -e /usr/sbin/policy-rc.d ] || return 0
	trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
	# If nothing of this script is left to remove it, the policy forbids nothing.
	printf '#!/bin/sh\n[ ! -d /proc/%s ] || exit 101\n' $$ | as_root tee /usr/sbin/policy-rc.d >/dev/null
	as_root chmod 755 /usr/sbin/policy-rc.d
}

apt_get() {
	quietly as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
		apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@"
}

may_install() {
	command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; }
}

# install_packages PACKAGE...
install_packages() {
	may_install || fail "installing $* takes apt-get, and root or sudo"
	echo "setup: installing $*" >&2
	hold_services
	# The package lists of a fresh machine are missing or stale, those of others are good enough.
	apt_get install -y --no-install-recommends "$@" 2>/dev/null ||
		{ apt_get update && apt_get install -y --no-install-recommends "$@"; } ||
		fail "apt-get cannot install $*"
}

# disable_service NAME: keeps it, and the socket that may stand for it, from starting at the next boot.
disable_service() {
	if command -v systemctl >/dev/null; then
		quietly as_root systemctl disable "$1"
		[ ! -e "/lib/systemd/system/$1.socket" ] || quietly as_root systemctl disable "$1.socket"
	else
		quietly as_root update-rc.d "$1" disable
	fi
}

# install_go: makes sure that hack/go finds a Go.
install_go() {
	local hack package
	hack=$(dirname "$0")
	GOTOOLCHAIN=local "$hack"/go version >/dev/null 2>&1 && return
	# Go fetches modules, and the release that go.mod asks for, by HTTPS.
	[ -e /etc/ssl/certs/ca-certificates.crt ] || install_packages ca-certificates
	package=$(newest_go)
	if [ -z "$package" ] && may_install; then
		apt_get update
		package=$(newest_go)
	fi
	if [ -n "$package" ]; then
		install_packages "$package"
	else
		"$hack"/unpack-go.sh
	fi
	"$hack"/go version >/dev/null
}

# install_browser: makes a Debian below .tools that has a browser, if neither it nor this system has one.
install_browser() {
	local tmp
	lacks_browser || return 0
	echo "setup: making a Debian with a browser below .tools" >&2
	mkdir -p "$tools"
	tmp=$(mktemp -d "$tools/XXXXXX")
	if quietly as_root debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		--include=chromium-headless-shell bookworm "$tmp" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}; then
		as_root mv "$tmp" "$debian"
	else
		as_root rm -rf "$tmp"
		fail "debootstrap does not fetch chromium-headless-shell"
	fi
}

# install_axe: unpacks axe-core below .tools, of which the tests take one file.
install_axe() {
	local tmp
	[ ! -e "$axe" ] || return 0
	echo "setup: unpacking axe-core below .tools" >&2
	mkdir -p "${axe%/*}"
	tmp=$(mktemp -d "${axe%/*}/XXXXXX")
	if (cd "$tmp" && quietly npm pack "axe-core@$axe_version" && tar -xzf axe-core-*.tgz package/axe.min.js) &&
		echo "$axe_sum  $tmp/package/axe.min.js" | sha256sum --check --quiet; then
		mv "$tmp/package/axe.min.js" "$axe"
	fi
	rm -rf "$tmp"
	[ -e "$axe" ] || fail "npm does not fetch axe-core $axe_version"
}

# newest_go: prints the newest package of a Go that is new enough, if this system's suites have one.
newest_go() {
	{ apt-cache search --names-only '^golang-1\.[0-9]+-go$' 2>/dev/null || true; } | sort -rV |
		awk -F'[.-]' '$3 >= 21 { print $1 "-" $2 "." $3 "-go"; exit }'
}

[ $# -gt 0 ] || fail "which groups? build, demo, test, page, screenshots, vm, bench, lint, generate"

declare -A packages=() services=()
for group in "$@"; do
	[ "$group" != build ] || install_go
	for pair in $(commands "$group"); do
		command=${pair%%=*} package=${pair#*=}
		! have "$command" || continue
		packages[$package]=1
		case $command in
		nginx | haproxy | ipvsadm | prometheus) services[$command]=1 ;;
		pg_ctlcluster) services[postgresql]=1 ;;
		sshd) services[ssh]=1 ;;
		dockerd) services[docker]=1 services[containerd]=1 ;;
		esac
	done
done
if [ ${#packages[@]} -gt 0 ]; then
	install_packages "${!packages[@]}"
	for service in "${!services[@]}"; do
		disable_service "$service"
	done
fi
for group in "$@"; do
	case $group in page | screenshots) install_browser && install_axe ;; esac
done
