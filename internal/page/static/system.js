// SPDX-License-Identifier: Apache-2.0

import { byId, fill, make, write } from "./dom.js";
import { byCount, exact, short } from "./format.js";
import { Reasons } from "./history.js";

// System is what is the dataplane's and no forward's: reasons, hooks and warnings.
export class System {
	#drops = new Reasons();
	#passes = new Reasons();

	take(state, at) {
		for (const [id, reasons, counts] of [["drops", this.#drops, state.drops], ["passes", this.#passes, state.passes]]) {
			reasons.look(at, counts);
			fill(byId(id), byCount(counts).map(([reason, n]) => [reason, exact(n), short(reasons.rates[reason])]), ["", "number", "number"]);
		}
		fill(byId("hooks"), state.hooks.map((h) => [h.device || "own connections", h.hook, h.missing ? "missing" : h.mode, h.why]), ["", "", "mode", "why"]);
		for (const row of byId("hooks").rows) {
			row.dataset.mode = row.cells[2].textContent;
		}
	}

	// mainReason is why most of what is dropped at the moment is, or empty.
	get mainReason() {
		return byCount(this.#drops.rates)[0]?.[0] ?? "";
	}

	// warn shows what is wrong.
	warn(warnings) {
		const list = byId("warnings-list");
		while (list.children.length > warnings.length) {
			list.lastElementChild.remove();
		}
		warnings.forEach((warning, i) => write(list.children[i] ?? list.appendChild(make("li")), warning));
		byId("warnings").hidden = warnings.length === 0;
	}
}
