// SPDX-License-Identifier: Apache-2.0

import { Sparkline } from "./chart.js";
import { Detail } from "./detail.js";
import { make, set, write } from "./dom.js";
import { short } from "./format.js";
import { Growth, Reasons } from "./history.js";
import { backendName, failing, frontendName, targets } from "./names.js";

// columns are the cells of a row between its head and its chart: what they are
// called where the table is a list of cards, and what they show.
const columns = [
	["Name", "name", (row) => row.forward.name],
	["Targets", "targets", (row) => targets(row.forward.backends)],
	["In pkt/s", "number", (row) => short(row.growth.rates.inPackets)],
	["In bit/s", "number", (row) => short(row.growth.rates.inBits)],
	["Out pkt/s", "number", (row) => short(row.growth.rates.outPackets)],
	["Out bit/s", "number", (row) => short(row.growth.rates.outBits)],
	["Active", "number", (row) => short(row.forward.counters.connections.active)],
	["New/s", "number", (row) => short(row.growth.rates.opened)],
	["Drops/s", "number drops", (row) => short(row.growth.rates.drops)],
];

let rows = 0;

// Row is a forward in the table: a line, and its details when they are unfolded.
export class Row {
	growth = new Growth();
	reasons = new Reasons();
	forward = null;
	// seen says whether it is on the screen, or nearly so.
	seen = false;
	// failing says in words that backends are down, if any are.
	failing = "";
	// words are what the filter looks for.
	words = "";

	#id = `forward-${rows++}`;
	// spots are where the texts of the cells are.
	#spots = [];
	#texts = [];
	#mark = make("span", { class: "mark" });
	#detail = null;
	// before is what was counted one look ago.
	#before = null;
	#at = 0;

	constructor(forward) {
		this.name = frontendName(forward.frontend);
		this.button = make("button", { type: "button", class: "unfold", id: `unfold-${encodeURIComponent(this.name)}`, "aria-expanded": "false", "aria-controls": this.#id }, this.name);
		this.button.addEventListener("click", () => this.unfold(!this.unfolded));
		this.chart = new Sparkline("packets", "packets/s");
		this.cells = columns.map(([label, kind]) => make("td", { role: "cell", class: kind, "data-label": label }));
		this.#spots = this.cells.map((cell) => cell.className === "targets" ? cell.appendChild(make("span")) : cell);
		this.line = make("tr", { role: "row" },
			make("th", { role: "rowheader", scope: "row" }, this.button), ...this.cells,
			make("td", { role: "cell", class: "trend" }, this.chart.element));
		this.line.querySelector(".targets").append(this.#mark);
		this.element = make("tbody", { role: "rowgroup" }, this.line);
		this.element.row = this;
	}

	// take is told what was counted at a time.
	take(forward, at) {
		this.#before = { forward: this.forward, at: this.#at };
		this.#at = at;
		this.forward = forward;
		this.growth.look(at, forward.counters);
		const last = this.growth.points[this.growth.points.length - 1];
		if (last) {
			last.packets = last.inPackets + last.outPackets;
		}
		this.reasons.look(at, forward.counters.drops);
		this.#detail?.take(forward, at);
		this.failing = failing(forward.backends);
		this.words = [this.name, this.failing, forward.name, forward.comment, ...forward.backends.map(backendName)].join(" ").toLowerCase();
	}

	// show shows what was taken, and nothing while nobody sees it.
	show() {
		if (!this.seen || this.element.hidden || this.forward === null) {
			return;
		}
		columns.forEach(([, , text], i) => {
			const now = text(this);
			if (this.#texts[i] !== now) {
				this.#texts[i] = this.#spots[i].textContent = now;
			}
		});
		write(this.#mark, this.failing);
		set(this.line, "data-drops", String(this.growth.rates.drops > 0));
		set(this.line, "data-idle", String(this.growth.rates.inPackets + this.growth.rates.outPackets === 0));
		this.chart.show(this.growth.points, this.#at);
		this.#detail?.show(this.forward, this.growth, this.reasons, this.#at);
	}

	get unfolded() {
		return this.#detail !== null;
	}

	unfold(open) {
		this.button.setAttribute("aria-expanded", String(open));
		if (!open) {
			this.#detail = null;
			this.element.lastElementChild.remove();
			return;
		}
		this.#detail = new Detail(this.#id, this.name);
		for (const { forward, at } of [this.#before, { forward: this.forward, at: this.#at }]) {
			if (forward) {
				this.#detail.take(forward, at);
			}
		}
		this.element.append(make("tr", { role: "row", class: "unfolded" },
			make("td", { role: "cell", colspan: String(columns.length + 2) }, this.#detail.element)));
		this.show();
	}
}
