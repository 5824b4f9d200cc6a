// The arrays of slices, fetched once and kept while they are likely to be looked at again.

import * as api from "./api.js";
import { holdsMask, NONE } from "./maskversions.js";
import { active, isCorrected, maskKey, painting, showsGiven } from "./painting.js";
import { isUnsaved } from "./save.js";
import { caseNamed, cases, channelOf, EMPTY, emit, keyOf, on, shown, state } from "./state.js";
import { holds } from "./versions.js";

const KEPT = 240; // slices of each kind
const ROOM = 400 * 2 ** 20; // bytes of them: the slices of large pictures are fewer
const [SOON, TRIES] = [50, 60]; // ms between looks for what was asked for, and how many
const AGAIN = 2000; // ms until what failed to come is asked for again

/** Why the shown slice can't be shown; null if it can. */
export const whyNot = () => (state.place ? (images.failures.get(state.place.name) ?? null) : null);

export class Shelf {
  /** @param {{pinned?: boolean, key?: (place) => string}} how pinned: what is unsaved is kept */
  constructor(fetch, { pinned = false, key = keyOf } = {}) {
    Object.assign(this, { fetch, pinned, key });
    this.arrays = new Map();
    this.waiting = new Map();
    this.failures = new Map(); // name of a case -> why the server refuses it: its file is gone, or damaged
  }

  /** Asking again would be refused again, so the folder is read instead: it says what there is by now. */
  fail(name, error) {
    this.failures.set(name, error.message);
    emit("trouble", error);
    emit("arrays");
    emit("refused");
  }

  /** The array if it is here; otherwise null, and it is asked for. */
  get(place) {
    const key = this.key(place);
    const array = this.arrays.get(key);
    if (array === undefined) this.ask(place, key);
    else this.keep(key, array);
    return array ?? null;
  }

  /** Ask for the array if it is not here. @returns {Promise | undefined} ends as it comes, whoever asked first */
  ask(place, key = this.key(place)) {
    if (this.arrays.has(key) || this.failures.has(place.name)) return undefined;
    let round = this.waiting.get(key);
    if (!round) {
      round = new AbortController();
      this.waiting.set(key, round);
      round.done = this.bring(place, key, round);
    }
    return round.done;
  }

  async bring(place, key, round) {
    try {
      const array = await this.fetch(place, round.signal);
      if (this.waiting.get(key) !== round) return; // forgotten since: the array is of an earlier run
      this.keep(key, array);
      this.waiting.delete(key);
      emit("arrays");
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!error.passing) {
        this.waiting.delete(key);
        this.fail(place.name, error);
        return;
      }
      emit("trouble", error);
      setTimeout(() => this.waiting.delete(key) && emit("arrays"), AGAIN);
    }
  }

  /** The latest that was looked at comes last, and the first go; the shown slice and strokes that are not saved yet stay. */
  keep(key, array) {
    this.arrays.delete(key);
    this.arrays.set(key, array);
    let size = [...this.arrays.values()].reduce((sum, one) => sum + (one?.byteLength ?? 0), 0);
    const here = shown() && this.key(state.place);
    for (const [oldest, one] of [...this.arrays]) {
      if (this.arrays.size <= KEPT && size <= ROOM) return;
      if (oldest === key || oldest === here || (this.pinned && isUnsaved(oldest))) continue;
      this.arrays.delete(oldest);
      size -= one?.byteLength ?? 0;
    }
  }

  /** Give up what nobody waits for any longer: whoever skims over slices wants the last one. */
  giveUp(wanted) {
    for (const [key, round] of [...this.waiting]) {
      if (wanted.some((start) => key === start || key.startsWith(`${start}/`))) continue;
      this.waiting.delete(key);
      round.abort();
    }
  }

  forget() {
    this.arrays.clear();
    this.waiting.clear();
  }

  /** Forget all of a case, but strokes that are not saved. */
  forgetCase(name) {
    for (const key of [...this.arrays.keys(), ...this.waiting.keys()]) {
      const [, own] = key.match(/^(.*?)\/\d+(?:\/(?:\d+|mask))?$/) ?? [];
      if (own !== name || (this.pinned && isUnsaved(key))) continue;
      this.arrays.delete(key);
      this.waiting.delete(key);
    }
  }

  forgetAt(place) {
    this.arrays.delete(this.key(place));
    this.waiting.delete(this.key(place));
  }
}

// Asking for what is not there would put a 404 on the console, so it is not asked for.
const ofRun = (what) => async (place, signal) => {
  const one = caseNamed(place.name);
  return one.predicted || one.reviews[place.z] === "accepted" ? api.getPlane(place.name, place.z, what, signal) : null;
};

const channelAt = ({ name, channel }) => channel ?? channelOf(caseNamed(name)).index;
const images = new Shelf((place, signal) => api.getImage(place.name, place.z, channelAt(place), signal), {
  key: (place) => `${keyOf(place)}/${channelAt(place)}`,
});
const scribbles = new Shelf(
  async ({ name, z }, signal) => {
    const { labels, version } = await api.getScribble(name, z, signal);
    holds(labels, version);
    return labels;
  },
  { pinned: true },
);
const predictions = new Shelf(ofRun("prediction"));
const disagreements = new Shelf(ofRun("disagreement"));
const shelves = [images, scribbles, predictions, disagreements];

const givens = new Shelf(async ({ name, z }) => (await api.getMask(name, z, "given")).labels);
const masks = new Shelf(firstMask, { pinned: true, key: maskKey });
const all = [...shelves, givens, masks];

/** What painting begins with: the painted mask, or else the labels that are shown, or an empty slice. */
async function firstMask(place) {
  const key = maskKey(place);
  if (isCorrected(place)) {
    const { labels, version } = await api.getMask(place.name, place.z);
    holdsMask(key, { version, base: labels.slice() });
    return labels;
  }
  const one = caseNamed(place.name);
  const labels = await maskFrom(place, showsGiven(one) ? "given" : one.predicted ? "prediction" : "empty");
  // A mask whose discarding is still under way has its version until that is done.
  holdsMask(key, { base: labels.slice(), ...(isUnsaved(key) ? {} : { version: NONE }) });
  return labels;
}

/** A new mask of a slice. @param {"given"|"prediction"|"empty"} from */
export async function maskFrom({ name, z }, from) {
  const [, h, w] = caseNamed(name).shape;
  if (from === "empty") return new Uint8Array(h * w);
  const labels = from === "given" ? (await api.getMask(name, z, "given")).labels : await api.getPlane(name, z, "prediction");
  return labels.map((label) => (label === EMPTY ? 0 : label)); // a mask has a class everywhere
}

/** A slice's array, also if it has to come first. @throws {Error} if it does not come */
async function arrived(shelf, place) {
  for (let tries = 0; tries < TRIES; tries++) {
    await shelf.ask(place);
    const array = shelf.get(place);
    if (array) return array;
    await new Promise((done) => setTimeout(done, SOON)); // it failed to come, or was given up
  }
  throw new Error(`${place.name}, slice ${place.z + 1} has not come yet; try again`);
}

/** The mask of a slice, also if it has to come first. @throws {Error} if it does not come */
export const maskAt = (place) => arrived(masks, place);

export const forgetMask = (place) => masks.forgetAt(place);

/** Masks of slices that are not shown are read again when they are: another page may have painted on them. */
export function forgetOtherMasks() {
  const here = state.place && maskKey(state.place);
  for (const key of [...masks.arrays.keys()]) if (key !== here && !isUnsaved(key)) masks.arrays.delete(key);
}

/** Masks that nobody painted are begun again with the labels that are shown now. */
export function forgetUnpainted() {
  for (const key of [...masks.arrays.keys()]) {
    const [, name, z] = key.match(/^(.*)\/(\d+)\/mask$/s);
    const kept = isUnsaved(key) || key === painting.held; // what is painted now goes on where it began
    if (!kept && !isCorrected({ name, z: Number(z) })) masks.arrays.delete(key);
  }
  emit("arrays");
}

/** The shown slice's arrays, each null until it is here. */
export function arrays() {
  if (!state.place) return { image: null, scribble: null, prediction: null, disagreement: null, mask: null, given: null };
  return {
    image: images.get(state.place),
    scribble: scribbles.get(state.place),
    prediction: predictions.get(state.place),
    mask: active() || isCorrected() ? masks.get(state.place) : null,
    given: showsGiven(shown()) ? givens.get(state.place) : null,
    disagreement: state.overlay.disagreement ? disagreements.get(state.place) : null,
  };
}

/** Another slice's scribble, which copying strokes needs. @throws {Error} if it does not come */
export const scribbleAt = (place) => arrived(scribbles, place);

export function askNeighbours() {
  const depth = shown()?.shape[0] ?? 0;
  const near = [0, 1, -1].map((step) => keyOf({ name: state.place.name, z: state.place.z + step }));
  for (const shelf of shelves) shelf.giveUp(near);
  for (const z of [state.place.z + 1, state.place.z - 1].filter((near) => near >= 0 && near < depth)) {
    for (const shelf of [images, scribbles, predictions]) shelf.ask({ name: state.place.name, z });
  }
  const { index } = channelOf(shown());
  images.ask({ ...state.place, channel: (index + 1) % shown().channels.length });
}

// An image was replaced: what was read of it is of another one. Going elsewhere and back asks again for what was refused.
const changed = new Map();
let here = null;
on("folder", () => {
  for (const one of cases()) {
    const before = changed.get(one.name);
    const now = { changed: one.changed, shape: one.shape.join() };
    changed.set(one.name, now);
    if (before === undefined || before.changed === now.changed) continue;
    for (const shelf of all) {
      shelf.failures.delete(one.name);
      shelf.forgetCase(one.name);
    }
    emit("replaced", { name: one.name, reshaped: before.shape !== now.shape });
  }
});
on("place", () => {
  const now = state.place && keyOf(state.place);
  if (now !== here) for (const shelf of all) shelf.failures.clear();
  here = now;
});

// A class was removed, so that the others have other codes.
on("recoded", () => {
  for (const shelf of [scribbles, masks, givens]) shelf.forget();
});

on("trained", () => {
  forgetUnpainted();
  predictions.forget();
  disagreements.forget();
  emit("arrays");
});

// A slice shows what was accepted there, and then the latest run again.
for (const event of ["withdrawn", "taken"]) {
  on(event, (place) => {
    // What is painted now goes on where it began.
    if (!isCorrected(place) && maskKey(place) !== painting.held) masks.forgetAt(place);
    predictions.forgetAt(place);
    disagreements.forgetAt(place);
    emit("arrays");
  });
}
