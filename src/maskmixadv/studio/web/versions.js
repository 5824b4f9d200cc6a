// What the server last had of each slice's strokes, so that two pages never draw over one another's.

import { EMPTY } from "./state.js";

const known = new WeakMap(); // labels, as the page draws in them -> {version, base}

/** The server has `base` of the slice that is drawn in `labels`. */
export const holds = (labels, version, base = labels.slice()) => known.set(labels, { version, base });
export const versionOf = (labels) => known.get(labels)?.version ?? null;
export const baseOf = (labels) => known.get(labels)?.base ?? new Uint8Array(labels.length).fill(EMPTY);

/**
 * Both changes of `base` together.
 * @returns {{merged: Uint8Array, clashes: number[]}} clashes: pixels that both changed, each otherwise; merged has `mine`
 */
export function merge(base, mine, theirs) {
  const merged = theirs.slice();
  const clashes = [];
  for (let index = 0; index < base.length; index++) {
    if (mine[index] === base[index]) continue;
    if (theirs[index] !== base[index] && theirs[index] !== mine[index]) clashes.push(index);
    merged[index] = mine[index];
  }
  return { merged, clashes };
}
