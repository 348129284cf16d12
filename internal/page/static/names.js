// SPDX-License-Identifier: Apache-2.0

import { duration } from "./format.js";

// What is called how, as the command line says it.

function ports(of) {
	return of.port === of.portEnd ? String(of.port) : `${of.port}-${of.portEnd}`;
}

function join(address, rest) {
	return address.includes(":") ? `[${address}]:${rest}` : `${address}:${rest}`;
}

// frontendName is 80/tcp, 192.0.2.1:53/udp or 8080/tcp on eth1. No two forwards have the
// same.
export function frontendName(frontend) {
	const where = frontend.address === "" ? ports(frontend) : join(frontend.address, ports(frontend));
	const devices = frontend.devices.length === 0 ? "" : ` on ${frontend.devices.join(",")}`;
	return `${where}/${frontend.protocol}${devices}`;
}

// backendName is 10.0.1.100:80 or this host:30080.
export function backendName(backend) {
	return join(backend.address === "" ? "this host" : backend.address, ports(backend));
}

// targets names the first backend and how many more there are.
export function targets(backends) {
	switch (backends.length) {
	case 0:
		return "no backend";
	case 1:
		return backendName(backends[0]);
	}
	return `${backendName(backends[0])} and ${backends.length - 1} more`;
}

// backendState tells draining from drained, as `xfwd show` does, and what checks have
// found to be down.
export function backendState(backend) {
	const state = backend.state === "draining" && backend.active === 0 ? "drained" : backend.state;
	if (backend.health !== "down") {
		return state;
	}
	return state === "active" ? "down" : `${state}, down`;
}

// failing says how many of the backends that new connections are for are down: 1 of 3
// down, or nothing if none is. One that is drained may be repaired.
export function failing(backends) {
	const wanted = backends.filter((backend) => backend.state === "active");
	const down = wanted.filter((backend) => backend.health === "down").length;
	if (down === 0) {
		return "";
	}
	return down === wanted.length ? "down" : `${down} of ${wanted.length} down`;
}

// checkWords says how the backends of a forward are looked after, as `xfwd show` does.
export function checkWords(check) {
	if (!check) {
		return "none";
	}
	const path = check.path ? ` ${check.path}` : "";
	const port = check.port ? ` at port ${check.port}` : "";
	return `${check.kind}${path}${port} every ${duration(check.intervalSeconds)}, timeout ${duration(check.timeoutSeconds)}, rise ${check.rise}, fall ${check.fall}`;
}
