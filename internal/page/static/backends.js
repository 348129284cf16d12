// SPDX-License-Identifier: Apache-2.0

import { fill, make, part, set } from "./dom.js";
import { exact, short } from "./format.js";
import { Pace } from "./history.js";
import { backendName, backendState } from "./names.js";

// columns are what is shown of a backend, which is passed with its rates and its share
// of the packets of the forward.
const columns = [
	["Backend", "", backendName],
	["State", "state", backendState],
	["Weight", "number", (backend) => String(backend.weight)],
	["Share", "number share", (backend, rates, share) => share === null ? "–" : `${Math.round(100 * share)} %`],
	["In pkt/s", "number", (backend, rates) => short(rates.inPackets)],
	["In bit/s", "number", (backend, rates) => short(rates.inBits)],
	["Out pkt/s", "number", (backend, rates) => short(rates.outPackets)],
	["Out bit/s", "number", (backend, rates) => short(rates.outBits)],
	["New/s", "number", (backend, rates) => short(rates.opened)],
	["Active", "number", (backend) => exact(backend.active)],
];
const labels = columns.map(([label]) => label);
const classes = columns.map(([, kind]) => kind);

// Backends is the table of those of one forward.
export class Backends {
	#body = make("tbody");
	#paces = new Map();
	element = part("backends", "Backends", columns, this.#body, "Clients are refused: there is no backend.");

	// take is told what was counted at a time, of backends that come and go.
	take(backends, at) {
		const before = this.#paces;
		this.#paces = new Map();
		for (const backend of backends) {
			const name = backendName(backend);
			const pace = before.get(name) ?? new Pace();
			if (backend.counters) {
				pace.look(at, backend.counters);
			}
			this.#paces.set(name, pace);
		}
	}

	// show shows what was taken.
	show(backends) {
		const rates = backends.map((backend) => this.#paces.get(backendName(backend)).rates);
		const packets = rates.map(({ inPackets, outPackets }) => inPackets + outPackets);
		const all = packets.reduce((sum, n) => sum + n, 0);
		const shares = packets.map((n) => all === 0 ? null : n / all);
		fill(this.#body, backends.map((backend, i) => columns.map(([, , text]) => text(backend, rates[i], shares[i]))), classes, labels);
		backends.forEach((backend, i) => {
			const row = this.#body.rows[i];
			set(row, "data-down", String(backend.health === "down"));
			set(row, "data-idle", String(packets[i] === 0));
			row.style.setProperty("--share", String(shares[i] ?? 0));
		});
	}
}
