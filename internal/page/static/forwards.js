// SPDX-License-Identifier: Apache-2.0

import { byId, write } from "./dom.js";
import { count, exact } from "./format.js";
import { frontendName } from "./names.js";
import { Order } from "./order.js";
import { Row } from "./row.js";

// Forwards is the table of forwards. A row stays the same element for as long as its
// forward is there.
export class Forwards {
	#table = byId("forwards-table");
	#filter = byId("filter");
	#rows = new Map();
	#order = new Order(this.#table, () => this.#arrange());
	// What nobody sees is not drawn.
	#sight = new IntersectionObserver((entries) => {
		for (const entry of entries) {
			entry.target.row.seen = entry.isIntersecting;
			entry.target.row.show();
		}
	}, { rootMargin: "200px" });

	constructor() {
		this.#filter.addEventListener("input", () => this.#sift());
	}

	// growths are those of all forwards.
	get growths() {
		return [...this.#rows.values()].map((row) => row.growth);
	}

	// choices are what somebody has chosen to see.
	get choices() {
		const unfolded = [...this.#rows.values()].filter((row) => row.unfolded).map((row) => row.name);
		return { filter: this.#filter.value, order: this.#order.choice, unfolded };
	}

	// choose chooses the same as somebody has before.
	choose({ filter, order, unfolded }) {
		this.#filter.value = filter;
		this.#order.choose(order);
		for (const name of unfolded) {
			this.#rows.get(name)?.unfold(true);
		}
		this.#sift();
	}

	take(state, at) {
		const gone = new Set(this.#rows.keys());
		let come = false;
		state.forwards.forEach((forward, place) => {
			const name = frontendName(forward.frontend);
			let row = this.#rows.get(name);
			if (!row) {
				row = new Row(forward);
				this.#rows.set(name, row);
				this.#sight.observe(row.element);
				come = true;
			}
			gone.delete(name);
			row.place = place;
			row.take(forward, at);
		});
		for (const name of gone) {
			const { element } = this.#rows.get(name);
			this.#sight.unobserve(element);
			element.remove();
			this.#rows.delete(name);
		}
		// Nobody likes rows that run away from the pointer or the keyboard.
		if (come || !this.#table.matches("tbody:hover, :has(tbody:hover, tbody :focus)")) {
			this.#arrange();
		}
		this.#sift();
	}

	// arrange puts the rows into their order, and moves none that is there already.
	#arrange() {
		const focused = document.activeElement;
		let next = this.#table.tHead.nextElementSibling;
		for (const { element } of this.#order.of(this.#rows.values())) {
			if (element === next) {
				next = next.nextElementSibling;
			} else {
				this.#table.insertBefore(element, next);
			}
		}
		if (focused !== document.activeElement && this.#table.contains(focused)) {
			focused.focus({ preventScroll: true });
		}
	}

	// sift hides the rows that lack one of the words of the filter.
	#sift() {
		const words = this.#filter.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
		let shown = 0;
		for (const row of this.#rows.values()) {
			const hidden = !words.every((word) => row.words.includes(word));
			if (row.element.hidden !== hidden) {
				row.element.hidden = hidden;
			}
			if (!hidden) {
				shown++;
			}
			row.show();
		}
		const all = this.#rows.size;
		const failing = [...this.#rows.values()].filter((row) => row.failing !== "").length;
		write(byId("shown"), shown === all ? count(all, "forward") : `${exact(shown)} of ${count(all, "forward")}`);
		write(byId("failing"), failing === 0 ? "" : `${exact(failing)} with backends that are down`);
		byId("none").hidden = shown > 0;
		write(byId("none"), all === 0 ? "There are no forwards; `xfwd add 80 30080` adds one." : "No forward has all of these words.");
	}
}
