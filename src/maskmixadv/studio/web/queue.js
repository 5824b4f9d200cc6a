// Which slice next: what the server proposes, most worthwhile first.

import * as api from "./api.js";
import { byId, element, refill } from "./element.js";
import { isAtWork } from "./hand.js";
import { allSaved } from "./save.js";
import { go, keyOf, on, state } from "./state.js";
import { say, telling } from "./status.js";

const LISTED = 40;
let queue = [];

const gone = new Set(); // proposals that Next has led to: it goes on, also where nothing was drawn
const keyIn = (entry) => keyOf({ name: entry.case, z: entry.slice });

/**
 * The first proposal that is not shown and was not led to yet; after the last one it begins again.
 * @param {{case: string, slice: number}[]} entries  @param {string} here  @param {Set<string>} been added to
 */
export function following(entries, here, been) {
  been.add(here);
  const others = entries.filter((entry) => keyIn(entry) !== here);
  const fresh = others.find((entry) => !been.has(keyIn(entry)));
  if (!fresh) been.clear();
  return fresh ?? others[0] ?? null;
}

async function ask() {
  queue = await api.getQueue();
  show();
}

/** Go on to a proposed slice. Strokes come first: what was just drawn on is proposed no longer. */
export async function next() {
  const from = state.place;
  if (!from) return;
  await telling(async () => {
    await allSaved();
    await ask();
  })();
  if (state.place !== from) return; // who went elsewhere meanwhile stays there
  if (isAtWork()) return say("You draw here: Next goes on when it is asked again.");
  const entry = following(queue, keyOf(state.place), gone);
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
      {
        type: "button",
        class: "proposal",
        "aria-current": here ? "true" : null,
        "data-key": keyIn(entry),
        onclick: () => go(entry.case, entry.slice),
      },
      element("span", { class: "name" }, entry.case),
      element("span", { class: "number" }, `slice ${entry.slice + 1}`),
      element("span", { class: "reason" }, entry.reason),
    ),
  );
}

function show() {
  refill(byId("queue"), queue.slice(0, LISTED).map(item));
  byId("queue-note").hidden = queue.length > 0;
}

export function startQueue() {
  byId("next").addEventListener("click", next);
  for (const event of ["folder", "scribbled", "reviewed", "corrected"]) on(event, telling(ask));
  on("trained", () => gone.clear());
  on("place", show);
}
