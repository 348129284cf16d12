// SPDX-License-Identifier: Apache-2.0

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

// backendState tells draining from drained, as `xfwd show` does.
export function backendState(backend) {
	return backend.state === "draining" && backend.active === 0 ? "drained" : backend.state;
}
