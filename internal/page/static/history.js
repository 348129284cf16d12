// SPDX-License-Identifier: Apache-2.0

import { sum } from "./format.js";

// span is how far charts look back, in milliseconds.
export const span = 120_000;

const nothing = { inPackets: 0, inBits: 0, outPackets: 0, outBits: 0, opened: 0, drops: 0 };

// totals are what grows of the counters of a forward, or of a backend, whose drops are
// not known; under the names of its rates.
function totals(counters) {
	return {
		inPackets: counters.forward.packets,
		inBits: 8 * counters.forward.bytes,
		outPackets: counters.reverse.packets,
		outBits: 8 * counters.reverse.bytes,
		opened: counters.connections.opened,
		drops: sum(counters.drops),
	};
}

// Pace is what some counters grow by in a second.
export class Pace {
	// rates are those between the last two looks.
	rates = nothing;

	#before = null;
	#at = 0;

	// look takes what was counted at a time, and says whether there are new rates.
	// Counters that have become smaller began anew.
	look(at, counters) {
		const now = totals(counters);
		const before = this.#before;
		const seconds = (at - this.#at) / 1000;
		this.#before = now;
		this.#at = at;
		if (before === null || seconds <= 0) {
			return false;
		}
		const anew = now.opened < before.opened || now.inPackets < before.inPackets;
		const rates = {};
		for (const name in now) {
			rates[name] = Math.max(0, now[name] - (anew ? 0 : before[name])) / seconds;
		}
		this.rates = rates;
		return true;
	}
}

// Growth is a pace, and what it was within the span.
export class Growth extends Pace {
	// points are rates with the time of the look, the oldest first.
	points = [];

	look(at, counters) {
		if (super.look(at, counters)) {
			this.add(at, this.rates);
		}
	}

	add(at, rates) {
		this.rates = rates;
		this.points.push({ at, ...rates });
		// One that is older is where the line comes from.
		while (this.points.length > 1 && this.points[1].at < at - span) {
			this.points.shift();
		}
	}
}

// together adds the rates of many up.
export function together(all) {
	const rates = { ...nothing };
	for (const growth of all) {
		for (const name in rates) {
			rates[name] += growth.rates[name];
		}
	}
	return rates;
}

// Reasons is what counts by reason grow by in a second.
export class Reasons {
	rates = {};

	#before = null;
	#at = 0;

	look(at, counts) {
		const seconds = (at - this.#at) / 1000;
		this.rates = {};
		for (const reason in counts) {
			const before = this.#before?.[reason] ?? 0;
			this.rates[reason] = this.#before === null || seconds <= 0 || counts[reason] < before ? 0 : (counts[reason] - before) / seconds;
		}
		this.#before = counts;
		this.#at = at;
	}
}
