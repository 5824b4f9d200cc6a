// Whether the pen paints on masks, and how; which slices have a mask that somebody painted.

import { caseNamed, emit, keyOf, shown, state } from "./state.js";

export const painting = {
  on: false,
  tool: "brush", // or "polygon", "fill"
  sparing: false, // whether other structures are left as they are
  range: null, // {low, high}: intensities that are painted, in the channel's own units
};

export const active = () => painting.on && state.tab === "review";
export const maskKey = (place) => `${keyOf(place)}/mask`;
export const isCorrected = (place = state.place) => Boolean(caseNamed(place?.name)?.masks.corrected.includes(place.z));

/** Whether the mask that came with the folder is shown, rather than the prediction. */
export const showsGiven = (one = shown()) => Boolean(one?.masks.given && (state.overlay.given || !one.predicted));

export function setPainting(change) {
  Object.assign(painting, change);
  emit("painting");
}

/** The page knows at once what the server is told shortly after. */
export function mark(place, corrected) {
  const one = caseNamed(place.name);
  const others = one.masks.corrected.filter((z) => z !== place.z);
  setMasks(one, { ...one.masks, corrected: corrected ? [...others, place.z].sort((a, b) => a - b) : others });
}

/** What holds of a case's masks has changed. */
export function setMasks(one, masks) {
  one.masks = masks;
  emit("masked");
}
