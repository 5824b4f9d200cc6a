// How many pixels are drawn of each class. A large slice has millions, so they are counted once and then kept up.

import { EMPTY, on } from "./state.js";

let known = new WeakMap(); // labels -> pixels by code

function counted(labels) {
  const counts = new Uint32Array(256);
  for (let index = 0; index < labels.length; index++) counts[labels[index]] += 1;
  return counts;
}

/** Pixels drawn of each class in a slice's strokes, as a map from code to number. */
export function countsOf(labels) {
  if (!known.has(labels)) known.set(labels, counted(labels));
  return new Map([...known.get(labels).entries()].filter(([code, count]) => count && code !== EMPTY));
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
