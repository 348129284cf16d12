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
// heads it. Rows that are there stay, and get other texts. Columns may have classes.
export function fill(body, rows, classes = []) {
	while (body.rows.length > rows.length) {
		body.lastElementChild.remove();
	}
	rows.forEach((texts, i) => {
		const row = body.rows[i] ?? body.appendChild(makeRow(texts.length, classes));
		texts.forEach((text, j) => write(row.cells[j], text));
	});
}

function makeRow(length, classes) {
	const row = make("tr");
	for (let i = 0; i < length; i++) {
		row.append(i === 0 ? make("th", { scope: "row" }) : make("td", classes[i] ? { class: classes[i] } : {}));
	}
	return row;
}
