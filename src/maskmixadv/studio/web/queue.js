// Which slice next: what the server proposes, most worthwhile first.

import * as api from "./api.js";
import { byId, element } from "./element.js";
import { go, keyOf, on, state } from "./state.js";
import { say, telling } from "./status.js";

const LISTED = 40;
let queue = [];

const keyIn = (entry) => keyOf({ name: entry.case, z: entry.slice });

async function ask() {
  queue = await api.getQueue();
  show();
}

/** The first proposed slice that is not shown already. */
export async function next() {
  await telling(ask)();
  const entry = queue.find((one) => keyIn(one) !== keyOf(state.place));
  if (entry) go(entry.case, entry.slice);
  else say("nothing is left to propose");
}

function item(entry) {
  const here = state.place && keyIn(entry) === keyOf(state.place);
  return element(
    "li",
    {},
    element(
      "button",
      { type: "button", class: "proposal", "aria-current": here ? "true" : null, onclick: () => go(entry.case, entry.slice) },
      element("span", { class: "name" }, entry.case),
      element("span", { class: "number" }, `slice ${entry.slice + 1}`),
      element("span", { class: "reason" }, entry.reason),
    ),
  );
}

function show() {
  byId("queue").replaceChildren(...queue.slice(0, LISTED).map(item));
  byId("queue-note").hidden = queue.length > 0;
}

export function startQueue() {
  byId("next").addEventListener("click", next);
  for (const event of ["folder", "scribbled", "reviewed", "corrected"]) on(event, telling(ask));
  on("place", show);
}
