// Strokes go to the server shortly after each stroke, and again until they are there.

import * as api from "./api.js";
import { caseNamed, emit, keyOf, on, setReviews, state } from "./state.js";
import { secondsAt } from "./clock.js";
import { reconcile } from "./conflict.js";
import { heard, unheard } from "./unheard.js";
import { holds, versionOf } from "./versions.js";

const SOON = 300; // ms after the last change
const LONGEST = 8000; // ms between two tries

const unsaved = new Map(); // key -> {place, labels}
const refused = new Map(); // the same: what the server does not take, such as strokes of an image that is gone
let timer = null;
let sending = false;
let sendingKey = null;
let failures = 0;
let recodings = 0; // how often a class was removed

const pending = () => sending || unsaved.size > 0;
export const isUnsaved = (key) => sendingKey === key || unsaved.has(key) || refused.has(key);

/** Whether a slice was changed since it was last sent. */
export const waits = (key) => unsaved.has(key);

/** "saved", "saving", "unsaved" or "refused". */
export function saveState() {
  if (refused.size) return "refused";
  if (!pending()) return "saved";
  return failures ? "unsaved" : "saving";
}

/** Slices of which something is not saved, each once: what the server does not take, or what waits for it. */
export function unsavedPlaces() {
  const places = [...(refused.size ? refused : unsaved).values()].map(({ place }) => place);
  return [...new Map(places.map((place) => [keyOf(place), place])).values()];
}

/** The slice's labels have changed; `labels` is read when it is sent, which `put` does. */
export function save(place, labels, { key = keyOf(place), put = putStrokes, merge = mergeStrokes } = {}) {
  refused.delete(key);
  unsaved.set(key, { place: { ...place }, labels, put, merge });
  emit("save");
  plan(failures ? delay() : SOON);
}

/** Resolves when all that was drawn is on disk; trainings and verdicts come after it. */
export async function allSaved() {
  while (pending() || refused.size) {
    await flush();
    if (failures || refused.size) throw new Error("strokes are not saved yet; try again when they are");
  }
}

const delay = () => Math.min(LONGEST, 500 * 2 ** failures);

function plan(wait) {
  clearTimeout(timer);
  timer = setTimeout(flush, wait);
}

async function flush() {
  if (sending) return new Promise((resolve) => setTimeout(resolve, 50));
  sending = true;
  for (const [key, entry] of [...unsaved]) {
    if (unsaved.get(key) !== entry) continue; // dropped, or drawn on again, meanwhile
    unsaved.delete(key); // drawing during the call puts it back
    sendingKey = key;
    const before = recodings;
    try {
      await entry.put(entry);
      failures = 0;
    } catch (error) {
      if (recodings !== before) continue;
      if (!unsaved.has(key)) unsaved.set(key, entry);
      if (error.stale && (await mergedIn(key, entry))) continue;
      if (error.passing === false && !error.stale) {
        unsaved.delete(key); // trying again would fail again, until the folder changes
        // What was not found may be back by the time the folder is read.
        refused.set(key, { ...entry, seen: error.status === 404 ? null : seenOf(entry.place) });
        emit("trouble", error);
        emit("refused");
        continue;
      }
      failures += 1;
      emit("trouble", error);
      break;
    }
  }
  sending = false;
  sendingKey = null;
  emit("save");
  if (unsaved.size) plan(failures ? delay() : SOON);
}

/** Somebody else has drawn on the slice: both are kept, and sent in the next round if that is needed. */
async function mergedIn(key, entry) {
  try {
    const again = await entry.merge(entry);
    if (!again && unsaved.get(key) === entry) unsaved.delete(key);
    return true;
  } catch {
    return false; // tried again with the slice's next save
  }
}

async function mergeStrokes({ place, labels }) {
  if (await reconcile(place, labels)) emit("merged", place);
  return true;
}

async function putStrokes({ place, labels }) {
  const clock = secondsAt(place);
  const spent = clock.take();
  const sent = labels.slice();
  try {
    const { scribbled, reviews, version } = await api.putScribble(place.name, place.z, sent, spent, versionOf(labels));
    holds(labels, version, sent);
    heard(keyOf(place));
    const one = caseNamed(place.name);
    if (!one) return; // gone meanwhile
    one.scribbled = scribbled;
    one.seconds += spent;
    emit("scribbled");
    setReviews(place.name, place.z, reviews); // a stroke takes an acceptance back
  } catch (error) {
    clock.add(spent);
    if (error.passing) await unheard(keyOf(place), sent);
    throw error;
  }
}

/** All that the page knows of a slice's case: where that has not changed, what was refused would be refused again. */
const seenOf = ({ name }) => JSON.stringify([caseNamed(name), state.folder.coding, state.folder.problems]);

/** The folder has changed: what was refused is sent again, where the image fits. */
on("folder", () => {
  for (const [key, entry] of [...refused]) {
    const [d, h, w] = caseNamed(entry.place.name)?.shape ?? [];
    const fits = entry.place.z < d && h * w === (entry.labels?.length ?? h * w);
    if (!fits || entry.seen === seenOf(entry.place)) continue;
    refused.delete(key);
    unsaved.set(key, entry);
    plan(SOON);
  }
});

/** A class was removed on another page: what was not saved here has codes that mean other classes by now. */
on("recoded", () => {
  recodings += 1;
  const lost = unsaved.size + refused.size;
  for (const kept of [unsaved, refused]) kept.clear();
  if (!lost) return;
  emit("save");
  const what = lost === 1 ? "one slice" : `${lost} slices`;
  emit("trouble", new Error(`A class was removed on another page. What was not saved by then, of ${what}, is dropped.`));
});

addEventListener("beforeunload", (event) => (pending() || refused.size) && event.preventDefault());
// A tab that is hidden may be closed, or put to sleep, without another word.
document.addEventListener("visibilitychange", () => document.hidden && unsaved.size && flush());
for (const event of ["online", "hashchange"]) addEventListener(event, () => unsaved.size && plan(0));
