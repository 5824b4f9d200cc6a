// How many pixels are drawn of each class. A large slice has millions, so they are counted once and then kept up.

import { EMPTY, on } from "./state.js";

let known = new WeakMap(); // labels -> pixels by code

let drawing = null; // labels with a stroke that has not ended: its change is still to be counted

/** A stroke in `labels` begins, or has ended where they are null. */
export const underPen = (labels) => (drawing = labels);

function counted(labels) {
  const counts = new Uint32Array(256);
  for (let index = 0; index < labels.length; index++) counts[labels[index]] += 1;
  return counts;
}

/** Pixels drawn of each class in a slice's strokes, as a map from code to number. */
export function countsOf(labels) {
  const counts = known.get(labels) ?? counted(labels);
  if (labels !== drawing) known.set(labels, counts);
  return new Map([...counts.entries()].filter(([code, count]) => count && code !== EMPTY));
}

/** `labels` have been changed, by a change that says all of it. */
export function count(labels, { before, after }) {
  const counts = known.get(labels);
  if (!counts) return;
  for (const code of before) counts[code] -= 1;
  for (const code of after) counts[code] += 1;
}

// What has changed in ways that are not known is counted anew.
on("pixels", (box) => box || (known = new WeakMap()));
