// SPDX-License-Identifier: Apache-2.0

import { fill, make, part, set } from "./dom.js";
import { exact, short } from "./format.js";
import { Pace } from "./history.js";
import { backendName, backendState } from "./names.js";

// Paces are those of the backends of a forward, which come and go.
export class Paces {
	#all = new Map();

	look(at, backends) {
		const before = this.#all;
		this.#all = new Map();
		for (const backend of backends) {
			const name = backendName(backend);
			const pace = before.get(name) ?? new Pace();
			if (backend.counters) {
				pace.look(at, backend.counters);
			}
			this.#all.set(name, pace);
		}
	}

	// of are the rates of a backend.
	of(backend) {
		return this.#all.get(backendName(backend)).rates;
	}
}

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
	element = part("backends", "Backends", columns, this.#body, "Clients are refused: there is no backend.");

	show(backends, paces) {
		const packets = (backend) => paces.of(backend).inPackets + paces.of(backend).outPackets;
		const all = backends.reduce((sum, backend) => sum + packets(backend), 0);
		const share = (backend) => all === 0 ? null : packets(backend) / all;
		fill(this.#body, backends.map((backend) => columns.map(([, , text]) => text(backend, paces.of(backend), share(backend)))), classes, labels);
		backends.forEach((backend, i) => {
			const row = this.#body.rows[i];
			set(row, "data-down", String(backend.health === "down"));
			set(row, "data-idle", String(packets(backend) === 0));
			row.style.setProperty("--share", String(share(backend) ?? 0));
		});
	}
}
