// SPDX-License-Identifier: Apache-2.0

import { Backends } from "./backends.js";
import { Chart } from "./chart.js";
import { fill, make, part, write } from "./dom.js";
import { byCount, duration, exact, remaining, short, time } from "./format.js";
import { checkWords } from "./names.js";

// Detail is all that is known of one forward.
export class Detail {
	#facts = make("dl", { class: "facts" });
	#values = new Map();
	#backends = new Backends();
	#drops = make("tbody");
	#charts = [new Chart("packets/s", "inPackets", "outPackets"), new Chart("bit/s", "inBits", "outBits")];

	constructor(id, name) {
		this.element = make("div", { class: "detail", id, role: "group", "aria-label": `Details of ${name}` },
			make("div", { class: "charts" }, ...this.#charts.map((chart) => chart.element)),
			this.#backends.element,
			part("drops", "Drops", [["Reason"], ["Packets", "number"], ["A second", "number"]], this.#drops, "Nothing was dropped."),
			this.#facts);
	}

	// take is told what was counted at a time.
	take(forward, at) {
		this.#backends.take(forward.backends, at);
	}

	// show shows that beside what is known of the forward as a whole.
	show(forward, growth, reasons, now) {
		for (const chart of this.#charts) {
			chart.show(growth.points, now);
		}
		this.#backends.show(forward.backends);
		const { drops, connections } = forward.counters;
		fill(this.#drops, byCount(drops).map(([reason, n]) => [reason, exact(n), short(reasons.rates[reason])]), ["", "number", "number"]);
		const as = forward.sourceAddresses ? `, masqueraded as ${forward.sourceAddresses.join(" or ")}` : "";
		this.#fact("Source", forward.source + as);
		this.#fact("Balance", forward.balance);
		const group = forward.affinityGroup ? `, shared in the group ${forward.affinityGroup}` : "";
		this.#fact("Affinity", forward.affinitySeconds === 0 ? "none" : duration(forward.affinitySeconds) + group);
		this.#fact("Check", checkWords(forward.check));
		this.#fact("Comment", forward.comment || "none");
		this.#fact("Expires", expiry(forward.expiresAt, now));
		this.#fact("In", traffic(forward.counters.forward));
		this.#fact("Out", traffic(forward.counters.reverse));
		this.#fact("Connections", `${exact(connections.opened)} opened, ${exact(connections.active)} active`);
		this.#fact("Accepted", accepted(forward.setup));
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

// expiry says when a forward ends by itself. Now is by the clock of its host.
function expiry(at, now) {
	if (!at) {
		return "never";
	}
	const left = (Date.parse(at) - now) / 1000;
	return `${left > 0 ? `in ${remaining(left)}` : "now"}, at ${at.replace(/\.\d+/, "")}`;
}

// accepted says how long backends took to accept connections. Of UDP, and of the host's
// own connections, nothing is known.
function accepted(setup) {
	return setup ? `half within ${time(setup.p50Seconds)}, 99 % within ${time(setup.p99Seconds)}` : "not measured";
}
