// Whether the pen paints on masks, and how; which slices have a mask that somebody painted.

import { caseNamed, channelOf, emit, keyOf, on, shown, state } from "./state.js";
import { bounds, levels } from "./window.js";

export const painting = {
  on: false,
  tool: "brush", // or "polygon", "fill"
  sparing: false, // whether other structures are left as they are
  held: null, // key of the mask under the brush
  ranged: false, // whether only intensities in a range are painted
};

const ranges = new Map(); // channel -> {low, high}, in its own units; channels of MRI have little in common
const told = new Map(); // mask's key -> whether it is painted: what the server has still to be told

export const active = () => painting.on && state.tab === "review";
export const maskKey = (place) => `${keyOf(place)}/mask`;
export const isCorrected = (place = state.place) =>
  Boolean(place && (told.get(maskKey(place)) ?? caseNamed(place.name)?.masks.corrected.includes(place.z)));

/** Whether the mask that came with the folder is shown, rather than the prediction. */
export const showsGiven = (one = shown()) => Boolean(one?.masks.given && (state.overlay.given || !one.predicted));

export function setPainting(change) {
  Object.assign(painting, change);
  emit("painting");
}

/** Intensities of the shown channel that are painted, {low, high}: at first those of its window; null for all. */
export function range() {
  const one = painting.ranged && shown();
  if (!one) return null;
  const { index } = channelOf(one);
  const { level, width } = levels();
  const digits = (value) => Number(value.toPrecision(4));
  const found = ranges.get(index) ?? { low: digits(level - width / 2), high: digits(level + width / 2) };
  if (bounds()) ranges.set(index, found); // its window is known once the image is here
  return found;
}

/** @param {{low?: number, high?: number} | null} change of the shown channel's range; null: any intensity is painted */
export function setRange(change) {
  const now = change && { ...range(), ...change };
  if (now) ranges.set(channelOf(shown()).index, now);
  else ranges.clear(); // the next range begins with the window of its time
  setPainting({ ranged: now !== null });
}

/** The page knows at once what the server is told shortly after. Answers that come before it is told don't know of it. */
export function mark(place, corrected) {
  told.set(maskKey(place), corrected);
  emit("masked");
}

/** The server knows by now, or will not be told. */
export const markTold = (place) => told.delete(maskKey(place));

/** What holds of a case's masks has changed. */
export function setMasks(name, masks) {
  const one = caseNamed(name); // by its name: the folder may have been read anew since the call began
  if (!one) return; // gone meanwhile
  one.masks = masks;
  emit("masked");
}

// What was not saved by then is dropped.
on("recoded", () => told.clear());
