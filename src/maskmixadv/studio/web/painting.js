// Whether the pen paints on masks, and how; which slices have a mask that somebody painted.

import { caseNamed, emit, keyOf, on, shown, state } from "./state.js";

export const painting = {
  on: false,
  tool: "brush", // or "polygon", "fill"
  sparing: false, // whether other structures are left as they are
  held: null, // key of the mask under the brush
  range: null, // {low, high}: intensities that are painted, in the channel's own units
};

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
