// SPDX-License-Identifier: Apache-2.0

import { draw, make, set, write } from "./dom.js";
import { short } from "./format.js";
import { span } from "./history.js";

// most is the largest value that points have under some names.
function most(points, names) {
	let largest = 0;
	for (const point of points) {
		for (const name of names) {
			largest = Math.max(largest, point[name]);
		}
	}
	return largest;
}

// line is the outline of points in a box whose right edge is a time, and whose upper
// edge is a value.
function line(points, name, now, top, width, height) {
	let path = "";
	for (const point of points) {
		const x = width * (1 - (now - point.at) / span);
		const y = height - (top === 0 ? 0 : (height - 1) * point[name] / top) - 0.5;
		path += `${path === "" ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
	}
	return path;
}

// area is what lies below that line.
function area(outline, points, now, width, height) {
	if (outline === "") {
		return "";
	}
	const first = width * (1 - (now - points[0].at) / span);
	const last = width * (1 - (now - points[points.length - 1].at) / span);
	return `${outline}L${last.toFixed(1)} ${height}L${first.toFixed(1)} ${height}Z`;
}

// Sparkline is a small chart of one rate without axes.
export class Sparkline {
	static width = 120;
	static height = 26;

	// unit is what the rate counts, for those who do not see it.
	constructor(name, unit) {
		this.name = name;
		this.unit = unit;
		this.fill = draw("path", { class: "area" });
		this.stroke = draw("path", { class: "line" });
		this.element = draw("svg", {
			class: "spark", role: "img", viewBox: `0 0 ${Sparkline.width} ${Sparkline.height}`, preserveAspectRatio: "none",
			"aria-label": `${unit}: not known yet`,
		}, this.fill, this.stroke);
	}

	show(points, now) {
		const top = most(points, [this.name]);
		const outline = line(points, this.name, now, top, Sparkline.width, Sparkline.height);
		set(this.stroke, "d", outline);
		set(this.fill, "d", area(outline, points, now, Sparkline.width, Sparkline.height));
		if (points.length > 0) {
			set(this.element, "aria-label", `${this.unit} in two minutes: now ${short(points[points.length - 1][this.name])}, at most ${short(top)}`);
		}
	}
}

// Chart is a chart of what comes in and what goes out, with a scale.
export class Chart {
	static width = 600;
	static height = 120;

	constructor(title, inName, outName) {
		this.names = [inName, outName];
		this.title = title;
		this.strokes = [draw("path", { class: "line in" }), draw("path", { class: "line out" })];
		this.fill = draw("path", { class: "area in" });
		this.svg = draw("svg", { role: "img", viewBox: `0 0 ${Chart.width} ${Chart.height}`, preserveAspectRatio: "none", "aria-label": title },
			draw("path", { class: "grid", d: `M0 .5H${Chart.width}M0 ${Chart.height / 2}H${Chart.width}M0 ${Chart.height - 0.5}H${Chart.width}` }),
			this.fill, ...this.strokes);
		this.top = make("span", { class: "top" });
		this.legend = ["in", "out"].map((direction) => make("span", { class: `key ${direction}` }));
		this.element = make("figure", { class: "chart" },
			make("figcaption", {}, make("b", {}, title), ...this.legend, this.top),
			this.svg,
			make("div", { class: "times", "aria-hidden": "true" }, make("span", {}, "2 minutes ago"), make("span", {}, "now")));
	}

	show(points, now) {
		const top = most(points, this.names);
		const outlines = this.names.map((name) => line(points, name, now, top, Chart.width, Chart.height));
		outlines.forEach((outline, i) => set(this.strokes[i], "d", outline));
		set(this.fill, "d", area(outlines[0], points, now, Chart.width, Chart.height));
		const last = points[points.length - 1];
		const [comes, goes] = this.names.map((name) => short(last?.[name] ?? 0));
		write(this.top, `at most ${short(top)}`);
		write(this.legend[0], `in ${comes}`);
		write(this.legend[1], `out ${goes}`);
		set(this.svg, "aria-label", `${this.title} in two minutes: now ${comes} in and ${goes} out, at most ${short(top)}`);
	}
}
