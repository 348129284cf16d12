// SPDX-License-Identifier: Apache-2.0

import { Sparkline } from "./chart.js";
import { byId, make, set, write } from "./dom.js";
import { bits, exact, short } from "./format.js";
import { Growth, together } from "./history.js";

// Tile shows one number of all forwards together, and perhaps how it was before.
class Tile {
	constructor(title, kind, chart) {
		this.value = make("b", { class: "value" }, "–");
		this.more = make("span", { class: "more" });
		this.chart = chart;
		this.element = make("li", { class: `tile ${kind}` }, make("span", { class: "title" }, title), this.value, this.more);
		if (chart) {
			this.element.append(chart.element);
		}
	}

	show(value, more, growth, at) {
		write(this.value, value);
		write(this.more, more);
		this.chart?.show(growth.points, at);
	}
}

// Overview is the row of tiles.
export class Overview {
	#growth = new Growth();
	#in = new Tile("In", "in", new Sparkline("inBits", "bit/s in"));
	#out = new Tile("Out", "out", new Sparkline("outBits", "bit/s out"));
	#opened = new Tile("New connections", "opened", new Sparkline("opened", "new connections a second"));
	#active = new Tile("Active connections", "active", new Sparkline("active", "active connections"));
	#drops = new Tile("Drops", "drops", new Sparkline("drops", "drops a second"));
	#flows = new Tile("Flow table", "flows");
	#bar = make("span");
	#meter = make("span", { class: "meter", role: "meter", "aria-label": "how full the flow table is", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": "0" }, this.#bar);

	constructor() {
		this.#flows.element.append(this.#meter);
		byId("overview").append(...[this.#in, this.#out, this.#opened, this.#active, this.#drops, this.#flows].map((tile) => tile.element));
	}

	// show adds the growth of all forwards up. Reason is why most of what is dropped is.
	show(at, state, growths, reason) {
		let active = 0;
		for (const forward of state.forwards) {
			active += forward.counters.connections.active;
		}
		const rates = { ...together(growths), active };
		this.#growth.add(at, rates);
		const tile = (tile, value, more) => tile.show(value, more, this.#growth, at);
		tile(this.#in, bits(rates.inBits), `${short(rates.inPackets)} packets/s`);
		tile(this.#out, bits(rates.outBits), `${short(rates.outPackets)} packets/s`);
		tile(this.#opened, `${short(rates.opened)}/s`, "UDP flows too");
		tile(this.#active, short(active), "open at the moment");
		tile(this.#drops, `${short(rates.drops)}/s`, reason === "" ? "none at the moment" : `mostly ${reason}`);
		this.#showFlows(state.flows);
	}

	#showFlows(flows) {
		const share = flows.maxFlows === 0 ? 0 : 100 * flows.established / flows.maxFlows;
		const percent = String(Math.min(100, Math.round(share)));
		this.#flows.show(`${percent} %`, `${short(flows.established)} of ${short(flows.maxFlows)} flows`);
		set(this.#meter, "aria-valuenow", percent);
		set(this.#meter, "aria-valuetext", `${exact(flows.established)} of ${exact(flows.maxFlows)} flows`);
		this.#meter.dataset.full = String(share >= 90);
		this.#bar.style.width = `${percent}%`;
	}
}
