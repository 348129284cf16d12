// SPDX-License-Identifier: Apache-2.0

import { byId } from "./dom.js";

// When the server has become another version the page is loaded anew, for its scripts
// are still those of the version before.

// pause is for how long it is not loaded once more, in milliseconds: behind an address
// there may be servers of two versions, which take turns.
const pause = 60_000;

// key is under which the tab keeps what the next page has to know.
const key = "anew";

// loadAnew does so if the server's version is another than that of the page, and keeps
// what somebody has chosen, where the page is scrolled to and what has the focus. Who
// answers with an old page though the version is new, such as a cache, is asked once.
export function loadAnew(version, forwards) {
	if (version === document.querySelector("meta[name=version]").content) {
		return;
	}
	try {
		const last = JSON.parse(sessionStorage.getItem(key));
		const at = Date.now();
		if (last !== null && (last.version === version || at - last.at < pause)) {
			return;
		}
		const left = { choices: forwards.choices, scroll: scrollY, focus: document.activeElement.id };
		sessionStorage.setItem(key, JSON.stringify({ version, at, left }));
	} catch {
		// Where a tab may not keep anything, it would never come to an end.
		return;
	}
	location.reload();
}

// takeLeft is what the page before has left, once, or undefined.
export function takeLeft() {
	try {
		const last = JSON.parse(sessionStorage.getItem(key));
		if (last?.left) {
			sessionStorage.setItem(key, JSON.stringify({ ...last, left: undefined }));
		}
		return last?.left;
	} catch {
		return undefined;
	}
}

// goOn has the page scrolled to where it was, and the focus where that was.
export function goOn(left) {
	byId(left.focus)?.focus({ preventScroll: true });
	scrollTo(0, left.scroll);
}
