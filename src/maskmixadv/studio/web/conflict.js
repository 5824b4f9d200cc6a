// Two pages have drawn on one slice: what both drew is merged, and where they differ a person chooses.

import * as api from "./api.js";
import { byId } from "./element.js";
import { scribbleLayer } from "./layers.js";
import { caseNamed, emit, keyOf } from "./state.js";
import { heard, isOwn } from "./unheard.js";
import { baseOf, holds, merge } from "./versions.js";

const MARGIN = 2; // pixels round what differs

/**
 * Merge what the server has of a slice into `labels`, in place.
 * @returns {Promise<boolean>} whether another page has drawn; this page's own strokes may be there, too, to which no answer came
 */
export async function reconcile(place, labels) {
  const { labels: theirs, version } = await api.getScribble(place.name, place.z);
  const own = await isOwn(keyOf(place), theirs);
  const base = own ? theirs : baseOf(labels);
  labels.set(await together(place, [base, labels, theirs], { layer: scribbleLayer, verb: "drawn" }));
  holds(labels, version, theirs);
  heard(keyOf(place));
  for (const event of ["pixels", "arrays"]) emit(event);
  emit("drawn", { place, labels }); // the proposal belongs to the strokes of both
  return !own;
}

/**
 * Both changes of `base` together; a person says which count where they differ.
 * @param {Uint8Array[]} three base, mine and theirs
 * @param {{layer: (labels, shape) => HTMLCanvasElement, verb: string}} how labels are shown, and what was done to them
 */
export async function together(place, three, how) {
  const [, mine, theirs] = three;
  const { merged, clashes } = merge(...three);
  const keep = !clashes.length || (await chosen(place, { mine, theirs }, clashes, how));
  if (!keep) for (const index of clashes) merged[index] = theirs[index];
  return merged;
}

/** Show both, with a frame round what differs; whether mine counts there. */
function chosen({ name, z }, both, clashes, { layer, verb }) {
  const [, h, w] = caseNamed(name).shape;
  const dialog = byId("conflict");
  const differ = clashes.length === 1 ? "pixel differs" : "pixels differ";
  byId("conflict-title").textContent = `Another page has ${verb} here, too`;
  byId("conflict-where").textContent = `${name}, slice ${z + 1}: ${clashes.length} ${differ}.`;
  const [left, top, right, bottom] = boxOf(clashes, w);
  for (const [of, labels] of Object.entries(both)) {
    const canvas = byId(`conflict-${of}`);
    Object.assign(canvas, { width: w, height: h });
    const context = canvas.getContext("2d");
    context.drawImage(layer(labels, [h, w]), 0, 0);
    context.strokeStyle = "#ffffff";
    const [x, y] = [left - MARGIN + 0.5, top - MARGIN + 0.5];
    context.strokeRect(x, y, right - left + 2 * MARGIN, bottom - top + 2 * MARGIN);
  }
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue !== "theirs"), { once: true });
  });
}

/** First and last column and row of pixels: [left, top, right, bottom]. */
export function boxOf(indices, width) {
  const columns = indices.map((index) => index % width);
  const rows = indices.map((index) => Math.floor(index / width));
  const least = (values) => values.reduce((one, other) => Math.min(one, other));
  const most = (values) => values.reduce((one, other) => Math.max(one, other));
  return [least(columns), least(rows), most(columns), most(rows)];
}
