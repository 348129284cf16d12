// SPDX-License-Identifier: Apache-2.0

import { make } from "./dom.js";

// values are what a column is sorted by. Frontends are in the order of the dataplane.
const values = {
	frontend: (row) => row.place,
	name: (row) => row.forward.name,
	targets: (row) => row.forward.backends.length,
	active: (row) => row.forward.counters.connections.active,
};

// Those that begin with the smallest; of the others one looks for the largest.
const rising = new Set(["frontend", "name"]);

// Order is by which column a table is sorted, and how.
export class Order {
	#by = "frontend";
	#down = false;
	#heads = new Map();
	#changed;

	// changed is called when somebody has chosen another.
	constructor(table, changed) {
		this.#changed = changed;
		for (const head of table.querySelectorAll("th[data-sort]")) {
			const by = head.dataset.sort;
			const button = make("button", { type: "button", id: `sort-${by}` }, ...head.childNodes);
			button.addEventListener("click", () => {
				this.choose({ by, down: by === this.#by ? !this.#down : !rising.has(by) });
			});
			head.append(button);
			this.#heads.set(by, head);
		}
		this.#tell();
	}

	get choice() {
		return { by: this.#by, down: this.#down };
	}

	choose({ by, down }) {
		this.#by = by;
		this.#down = down;
		this.#tell();
		this.#changed();
	}

	#tell() {
		for (const [by, head] of this.#heads) {
			if (by === this.#by) {
				head.setAttribute("aria-sort", this.#down ? "descending" : "ascending");
			} else {
				head.removeAttribute("aria-sort");
			}
		}
	}

	// of returns rows as they shall be. Those that are equal stay in the order of the
	// dataplane.
	of(rows) {
		const value = values[this.#by] ?? ((row) => row.growth.rates[this.#by]);
		const sign = this.#down ? -1 : 1;
		return [...rows].sort((a, b) => {
			const [x, y] = [value(a), value(b)];
			return sign * (x < y ? -1 : x > y ? 1 : 0) || a.place - b.place;
		});
	}
}
