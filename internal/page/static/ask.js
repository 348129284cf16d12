// SPDX-License-Identifier: Apache-2.0

// patience is how long an answer may take, in milliseconds: longer than that of the
// server, which then says what it waited for.
const patience = 10_000;

// Unreadable says that the server answers, and cannot read the dataplane.
export class Unreadable extends Error {}

// ask asks the server that the page came from.
export async function ask(path) {
	const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(patience) });
	if (response.status === 503) {
		throw new Unreadable((await response.json()).error);
	}
	if (!response.ok) {
		throw new Error(`status ${response.status}`);
	}
	return response.json();
}

// again calls work again and again while somebody can see the page, and waits in
// between; without a pause it calls it when the page is looked at again.
export function again(pause, work) {
	let timer = 0;
	let running = false;
	const round = async () => {
		if (running) {
			return;
		}
		running = true;
		await work();
		running = false;
		clearTimeout(timer);
		if (!document.hidden) {
			timer = setTimeout(round, pause);
		}
	};
	document.addEventListener("visibilitychange", () => {
		clearTimeout(timer);
		if (!document.hidden) {
			round();
		}
	});
	if (!document.hidden) {
		round();
	}
}
