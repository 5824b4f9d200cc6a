// Strokes go to the server shortly after each stroke, and again until they are there.

import * as api from "./api.js";
import { caseNamed, emit, keyOf, setReviews } from "./state.js";
import { secondsAt } from "./clock.js";

const SOON = 300; // ms after the last change
const LONGEST = 8000; // ms between two tries

const unsaved = new Map(); // key -> {place, labels}
let timer = null;
let sending = false;
let sendingKey = null;
let failures = 0;

const pending = () => sending || unsaved.size > 0;
export const isUnsaved = (key) => sendingKey === key || unsaved.has(key);

/** "saved", "saving" or "unsaved". */
export function saveState() {
  if (!pending()) return "saved";
  return failures ? "unsaved" : "saving";
}

/** The slice's labels have changed; `labels` is read when it is sent, which `put` does. */
export function save(place, labels, { key = keyOf(place), put = putStrokes } = {}) {
  unsaved.set(key, { place: { ...place }, labels, put });
  emit("save");
  plan(failures ? delay() : SOON);
}

/** Resolves when all that was drawn is on disk; trainings and verdicts come after it. */
export async function allSaved() {
  while (pending()) {
    await flush();
    if (failures) throw new Error("strokes are not saved yet; try again when they are");
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
    unsaved.delete(key); // drawing during the call puts it back
    sendingKey = key;
    try {
      await entry.put(entry);
      failures = 0;
    } catch (error) {
      if (!unsaved.has(key)) unsaved.set(key, entry);
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

async function putStrokes({ place, labels }) {
  const clock = secondsAt(place);
  const spent = clock.take();
  try {
    const { scribbled, reviews } = await api.putScribble(place.name, place.z, labels.slice(), spent);
    const one = caseNamed(place.name);
    one.scribbled = scribbled;
    one.seconds += spent;
    emit("scribbled");
    setReviews(one, place.z, reviews); // a stroke takes an acceptance back
  } catch (error) {
    clock.add(spent);
    throw error;
  }
}

addEventListener("beforeunload", (event) => pending() && event.preventDefault());
for (const event of ["online", "hashchange"]) addEventListener(event, () => unsaved.size && plan(0));
