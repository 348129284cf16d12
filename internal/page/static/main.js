// SPDX-License-Identifier: Apache-2.0

import { goOn, loadAnew, takeLeft } from "./anew.js";
import { again, ask, Unreadable } from "./ask.js";
import { byId, set, write } from "./dom.js";
import { count } from "./format.js";
import { Forwards } from "./forwards.js";
import { Overview } from "./overview.js";
import { System } from "./system.js";

// How often is asked, in milliseconds.
const statePause = 2_000;
const statusPause = 10_000;

const overview = new Overview();
const forwards = new Forwards();
const system = new System();

let host = location.hostname;
let forwardCount = 0;
let warnings = [];
let latest = 0;
// told is what people were told last.
let told = "";
// left is what a page of another version has left for this one, until it is shown.
let left = takeLeft();

// tell says how it is going. Text that changes is read out, so it changes only when
// something has happened.
function tell(state, badge, text) {
	set(document.documentElement, "data-state", state);
	set(byId("badge"), "data-state", state);
	write(byId("badge"), badge);
	set(byId("state"), "data-state", state);
	if (told !== state + text) {
		told = state + text;
		write(byId("state"), text);
	}
	const what = warnings.length > 0 && state === "loaded" ? count(warnings.length, "warning") : badge;
	write(document.querySelector("title"), state === "loaded" && warnings.length === 0 ? `${host}: ${count(forwardCount, "forward")} – xfwd` : `(${what}) ${host} – xfwd`);
}

function show(state) {
	loadAnew(state.version, forwards);
	const at = Date.parse(state.time);
	host = state.host;
	forwardCount = state.forwards.length;
	write(byId("host"), state.host);
	write(byId("version"), state.version);
	// Two who ask at about the same time get one answer.
	if (at > latest) {
		latest = at;
		const began = performance.now();
		forwards.take(state, at);
		system.take(state, at);
		overview.show(at, state, forwards.growths, system.mainReason);
		performance.measure("update", { start: began });
	}
	if (left) {
		forwards.choose(left.choices);
		goOn(left);
		left = undefined;
	}
	if (state.loaded) {
		tell("loaded", "loaded", "");
	} else {
		tell("empty", "not loaded", "The dataplane is not loaded; the first `xfwd add` or `xfwd restore` loads it.");
	}
}

again(statePause, async () => {
	try {
		show(await ask("api/v1/state"));
	} catch (error) {
		if (error instanceof Unreadable) {
			tell("failing", "unreadable", `The dataplane cannot be read: ${error.message}`);
		} else {
			const since = latest === 0 ? "" : ` What is below is of ${new Date(latest).toLocaleTimeString()}.`;
			tell("silent", "no answer", `xfwd serve does not answer. Forwarding goes on without it.${since}`);
		}
	}
});

again(statusPause, async () => {
	try {
		const status = await ask("api/v1/status");
		warnings = status.warnings;
		system.warn(warnings);
	} catch {
		// The other question has the same answer, and sooner.
	}
});
