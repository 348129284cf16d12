// SPDX-License-Identifier: Apache-2.0

// Numbers as the command line prints them.

// short prints a number in at most five characters: 999, 1.2k, 34k, 5.6M. Rates below
// ten keep a digit behind the point.
export function short(n) {
	if (n < 9.95) {
		return String(Number(n.toFixed(1)));
	}
	if (n < 999.5) {
		return String(Math.round(n));
	}
	let value = n;
	for (const unit of "kMGTPE") {
		value /= 1000;
		if (value < 9.95) {
			return value.toFixed(1) + unit;
		}
		if (value < 999.5 || unit === "E") {
			return Math.round(value) + unit;
		}
	}
}

// bits prints a rate of bits with its unit: 4.3 Mbit/s.
export function bits(n) {
	const [, number, prefix] = short(n).match(/^([0-9.]+)(.?)$/);
	return `${number} ${prefix}bit/s`;
}

// exact prints a number in full.
export function exact(n) {
	return n.toLocaleString("en");
}

// count prints a number with what it counts: 1 forward, 2 forwards.
export function count(n, what) {
	return `${exact(n)} ${what}${n === 1 ? "" : "s"}`;
}

// duration prints seconds: 90m, 3h.
export function duration(seconds) {
	for (const [unit, length] of [["h", 3600], ["m", 60]]) {
		if (seconds % length === 0) {
			return seconds / length + unit;
		}
	}
	return seconds + "s";
}

// time prints a short time in seconds with two digits: 320 µs, 1.2 ms.
export function time(seconds) {
	const two = (n) => Number(n.toPrecision(2));
	const rounded = two(seconds);
	for (const [unit, length] of [["s", 1], ["ms", 1e-3]]) {
		if (rounded >= length) {
			return `${two(rounded / length)} ${unit}`;
		}
	}
	return `${two(rounded / 1e-6)} µs`;
}

// remaining prints how many seconds are left, in the largest unit of which there are two
// at least: 2 days, 90 min, 40 s.
export function remaining(seconds) {
	for (const [unit, length] of [["days", 86_400], ["h", 3600], ["min", 60]]) {
		if (seconds >= 2 * length) {
			return `${Math.floor(seconds / length)} ${unit}`;
		}
	}
	return `${Math.floor(seconds)} s`;
}

// sum adds the values of an object up.
export function sum(counts) {
	let total = 0;
	for (const reason in counts) {
		total += counts[reason];
	}
	return total;
}

// byCount lists the entries of an object that are not zero, the largest first.
export function byCount(counts) {
	return Object.entries(counts)
		.filter(([, n]) => n > 0)
		.sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
}
