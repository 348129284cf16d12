// SPDX-License-Identifier: Apache-2.0

// What is shown is text: nothing here makes markup of it.

export const byId = (id) => document.getElementById(id);

// make makes an element with attributes and children, which may be texts.
export function make(name, attributes = {}, ...children) {
	return fitOut(document.createElement(name), attributes, children);
}

// draw is make for SVG.
export function draw(name, attributes = {}, ...children) {
	return fitOut(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fitOut(element, attributes, children) {
	for (const name in attributes) {
		element.setAttribute(name, attributes[name]);
	}
	element.append(...children);
	return element;
}

// write sets the text of an element, if it is another.
export function write(element, text) {
	if (element.textContent !== text) {
		element.textContent = text;
	}
}

// set sets an attribute of an element, if it is another.
export function set(element, name, value) {
	if (element.getAttribute(name) !== value) {
		element.setAttribute(name, value);
	}
}

// fill makes a table body have these rows, each an array of texts, the first of which
// heads it. Rows that are there stay, and get other texts. Columns may have classes, and
// labels for where rows are cards.
export function fill(body, rows, classes = [], labels = []) {
	while (body.rows.length > rows.length) {
		body.lastElementChild.remove();
	}
	rows.forEach((texts, i) => {
		const row = body.rows[i] ?? body.appendChild(makeRow(texts.length, classes, labels));
		texts.forEach((text, j) => write(row.cells[j], text));
	});
}

// part is a small table with a title, and words for when it is empty. Columns have titles
// and perhaps classes.
export function part(kind, title, columns, body, none) {
	const head = columns.map(([text, of]) => make("th", { scope: "col", class: of ?? "" }, text));
	return make("div", { class: kind },
		make("table", { class: "plain" }, make("caption", {}, title), make("thead", {}, make("tr", {}, ...head)), body),
		make("p", { class: "none" }, none));
}

function makeRow(length, classes, labels) {
	const row = make("tr", { role: "row" });
	for (let i = 0; i < length; i++) {
		const cell = i === 0 ? make("th", { role: "rowheader", scope: "row" }) : make("td", { role: "cell" });
		if (classes[i]) {
			cell.className = classes[i];
		}
		if (labels[i]) {
			cell.dataset.label = labels[i];
		}
		row.append(cell);
	}
	return row;
}
