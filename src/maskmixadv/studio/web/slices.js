// The arrays of slices, fetched once and kept while they are likely to be looked at again.

import * as api from "./api.js";
import { isUnsaved } from "./save.js";
import { caseNamed, channelOf, emit, keyOf, on, shown, state } from "./state.js";

const KEPT = 240; // slices of each kind
const AGAIN = 2000; // ms until what failed to come is asked for again

class Shelf {
  /** @param {{pinned?: boolean, key?: (place) => string}} how pinned: what is unsaved is kept */
  constructor(fetch, { pinned = false, key = keyOf } = {}) {
    Object.assign(this, { fetch, pinned, key });
    this.arrays = new Map();
    this.waiting = new Map();
  }

  /** The array if it is here; otherwise null, and it is asked for. */
  get(place) {
    const key = this.key(place);
    const array = this.arrays.get(key);
    if (array === undefined) this.ask(place, key);
    else this.keep(key, array);
    return array ?? null;
  }

  async ask(place, key = this.key(place)) {
    if (this.arrays.has(key) || this.waiting.has(key)) return;
    const round = Symbol(key);
    this.waiting.set(key, round);
    try {
      const array = await this.fetch(place);
      if (this.waiting.get(key) !== round) return; // forgotten since: the array is of an earlier run
      this.keep(key, array);
      this.waiting.delete(key);
      emit("arrays");
    } catch (error) {
      emit("trouble", error);
      setTimeout(() => this.waiting.delete(key) && emit("arrays"), AGAIN);
    }
  }

  /** The latest that was looked at comes last, and the first goes; strokes that are not saved yet stay. */
  keep(key, array) {
    this.arrays.delete(key);
    this.arrays.set(key, array);
    const [oldest] = this.arrays.keys();
    if (this.arrays.size > KEPT && !(this.pinned && isUnsaved(oldest))) this.arrays.delete(oldest);
  }

  forget() {
    this.arrays.clear();
    this.waiting.clear();
  }

  forgetAt(place) {
    this.arrays.delete(this.key(place));
    this.waiting.delete(this.key(place));
  }
}

// Asking for what is not there would put a 404 on the console, so it is not asked for.
const ofRun = (what) => async (place) =>
  caseNamed(place.name).predicted || caseNamed(place.name).reviews[place.z] === "accepted" ? api.getPlane(place.name, place.z, what) : null;

const channelAt = ({ name, channel }) => channel ?? channelOf(caseNamed(name)).index;
const images = new Shelf((place) => api.getImage(place.name, place.z, channelAt(place)), {
  key: (place) => `${keyOf(place)}/${channelAt(place)}`,
});
const scribbles = new Shelf(({ name, z }) => api.getPlane(name, z, "scribble"), { pinned: true });
const predictions = new Shelf(ofRun("prediction"));
const disagreements = new Shelf(ofRun("disagreement"));

/** The shown slice's arrays, each null until it is here. */
export function arrays() {
  if (!state.place) return { image: null, scribble: null, prediction: null, disagreement: null };
  return {
    image: images.get(state.place),
    scribble: scribbles.get(state.place),
    prediction: predictions.get(state.place),
    disagreement: state.overlay.disagreement ? disagreements.get(state.place) : null,
  };
}

/** Another slice's scribble, which copying strokes needs at once. */
export async function scribbleAt(place) {
  await scribbles.ask(place);
  return scribbles.get(place);
}

export function askNeighbours() {
  const depth = shown()?.shape[0] ?? 0;
  for (const z of [state.place.z + 1, state.place.z - 1].filter((near) => near >= 0 && near < depth)) {
    for (const shelf of [images, scribbles, predictions]) shelf.ask({ name: state.place.name, z });
  }
  const { index } = channelOf(shown());
  images.ask({ ...state.place, channel: (index + 1) % shown().channels.length });
}

on("trained", () => {
  predictions.forget();
  disagreements.forget();
  emit("arrays");
});

// A slice shows what was accepted there, and then the latest run again.
for (const event of ["withdrawn", "taken"]) {
  on(event, (place) => {
    predictions.forgetAt(place);
    disagreements.forgetAt(place);
    emit("arrays");
  });
}
