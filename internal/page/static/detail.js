// SPDX-License-Identifier: Apache-2.0

import { Chart } from "./chart.js";
import { fill, make, write } from "./dom.js";
import { byCount, duration, exact, short } from "./format.js";
import { backendName, backendState } from "./names.js";

// Detail is all that is known of one forward.
export class Detail {
	#facts = make("dl", { class: "facts" });
	#values = new Map();
	#backends = make("tbody");
	#drops = make("tbody");
	#charts = [new Chart("packets/s", "inPackets", "outPackets"), new Chart("bit/s", "inBits", "outBits")];

	constructor(id, name) {
		this.element = make("div", { class: "detail", id, role: "group", "aria-label": `Details of ${name}` },
			make("div", { class: "charts" }, ...this.#charts.map((chart) => chart.element)),
			part("Backends", ["Backend", "Weight", "State", "Active"], this.#backends, "Clients are refused: there is no backend."),
			part("Drops", ["Reason", "Packets", "A second"], this.#drops, "Nothing was dropped."),
			this.#facts);
	}

	show(forward, growth, reasons, now) {
		for (const chart of this.#charts) {
			chart.show(growth.points, now);
		}
		fill(this.#backends, forward.backends.map((b) => [backendName(b), String(b.weight), backendState(b), exact(b.active)]), ["", "number", "", "number"]);
		const { drops, connections } = forward.counters;
		fill(this.#drops, byCount(drops).map(([reason, n]) => [reason, exact(n), short(reasons.rates[reason])]), ["", "number", "number"]);
		this.#fact("Source", forward.source);
		this.#fact("Balance", forward.balance);
		this.#fact("Affinity", forward.affinitySeconds === 0 ? "none" : duration(forward.affinitySeconds));
		this.#fact("Comment", forward.comment || "none");
		this.#fact("Expires", forward.expiresAt ?? "never");
		this.#fact("In", traffic(forward.counters.forward));
		this.#fact("Out", traffic(forward.counters.reverse));
		this.#fact("Connections", `${exact(connections.opened)} opened, ${exact(connections.active)} active`);
	}

	#fact(name, text) {
		let value = this.#values.get(name);
		if (!value) {
			value = make("dd");
			this.#values.set(name, value);
			this.#facts.append(make("div", {}, make("dt", {}, name), value));
		}
		write(value, text);
	}
}

function traffic(counted) {
	return `${exact(counted.packets)} packets, ${exact(counted.bytes)} bytes`;
}

// part is a small table with a title, and words for when it is empty.
function part(title, columns, body, none) {
	const head = columns.map((column) => make("th", { scope: "col", class: ["Weight", "Active", "Packets", "A second"].includes(column) ? "number" : "" }, column));
	return make("div", {},
		make("table", { class: "plain" }, make("caption", {}, title), make("thead", {}, make("tr", {}, ...head)), body),
		make("p", { class: "none" }, none));
}
