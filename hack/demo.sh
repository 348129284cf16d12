#!/bin/bash
# SPDX-License-Identifier: Apache-2.0

# Shows xfwd at work: port 80 of a host is published in front of an nginx on port 30080. Host and client
# are network namespaces. These, nginx, and the file system that holds the programs in the kernel exist
# for this script alone, so whatever ends it, even SIGKILL, takes all of it away.

set -euo pipefail

if [ "${1-}" != inside ]; then
	cd "$(dirname "$0")/.."
	exec unshare --mount --pid --fork --kill-child "$PWD/hack/demo.sh" inside
fi

# The first process of a namespace is immune to signals that it does not handle.
trap 'exit 130' INT TERM
PATH=$PWD/bin:$PATH:/usr/sbin:/sbin
unset http_proxy all_proxy ALL_PROXY
bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
	bold=$'\e[1m' plain=$'\e[0m'
fi

# say TEXT: what comes next.
say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }

# on NAMESPACE COMMAND...: shows a command as a user of that machine types it, and runs it there. Only the
# network is entered: ip netns exec would hide the file system that holds the programs.
on() {
	printf '%s%s$%s %s\n' "$bold" "$1" "$plain" "${*:2}"
	nsenter --net="/run/netns/$1" "${@:2}" 2>&1
}

mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t bpf bpf /sys/fs/bpf

# A client and a host on one wire.
ip netns add client
ip netns add host
ip -n host link add eth0 type veth peer name eth0 netns client
ip -n host address add 192.0.2.1/24 dev eth0
ip -n host address add 2001:db8::1/64 dev eth0 nodad
ip -n client address add 192.0.2.2/24 dev eth0
ip -n client address add 2001:db8::2/64 dev eth0 nodad
for namespace in client host; do
	ip -n "$namespace" link set lo up
	ip -n "$namespace" link set eth0 up
done
for _ in {1..50}; do
	ip -n client link show eth0 | grep -q 'state UP' && break
	sleep 0.1
done

mkdir /run/nginx
cat >/run/nginx/nginx.conf <<'END'
pid /run/nginx/pid;
error_log /run/nginx/error.log;
events {}
http {
	log_format demo '$remote_addr -> port $server_port "$request" $status';
	access_log /run/nginx/access.log demo;
	server {
		listen 30080;
		listen [::]:30080;
		return 200 "Hello $remote_addr, this is port $server_port.\n";
	}
}
END

say "The host runs nginx on port 30080. Nobody listens on port 80."
on host nginx -c /run/nginx/nginx.conf
on client curl -sS http://192.0.2.1/ || true

say "Publish it:"
on host xfwd add 80 30080
on host xfwd list

say "The client meets nginx on port 80, over IPv4 and IPv6, and nginx sees the client's address."
on client curl -sS http://192.0.2.1/
on client curl -sS 'http://[2001:db8::1]/'
on host cat /run/nginx/access.log
grep -q '^192\.0\.2\.2 -> port 30080' /run/nginx/access.log
grep -q '^2001:db8::2 -> port 30080' /run/nginx/access.log

say "Packets are counted in both directions. Here are ten requests more."
on host xfwd stats
on client curl -sS -o /dev/null 'http://192.0.2.1/[1-10]'
on host xfwd stats

say "The host's own connections are forwarded too."
on host curl -sS http://localhost/

say "No process of xfwd is running: the programs in the kernel do the work. Taken back:"
on host xfwd del 80
on client curl -sS http://192.0.2.1/ || true
on host xfwd unload

say "Done. Namespaces and nginx are gone with this script."
