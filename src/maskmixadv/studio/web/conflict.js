// Two pages have drawn on one slice: what both drew is merged, and where they differ a person chooses.

import * as api from "./api.js";
import { byId } from "./element.js";
import { scribbleLayer } from "./layers.js";
import { caseNamed, emit } from "./state.js";
import { baseOf, holds, merge } from "./versions.js";

/**
 * Merge what the server has of a slice into `labels`, in place.
 * @returns {Promise<boolean>} whether a person had to choose
 */
export async function reconcile(place, labels) {
  const { labels: theirs, version } = await api.getScribble(place.name, place.z);
  const { merged, clashes } = merge(baseOf(labels), labels, theirs);
  const mine = !clashes.length || (await chosen(place, labels, theirs, clashes.length));
  if (!mine) for (const index of clashes) merged[index] = theirs[index];
  labels.set(merged);
  holds(labels, version, theirs);
  for (const event of ["pixels", "arrays"]) emit(event);
  return clashes.length > 0;
}

/** Show both; whether mine counts where they differ. */
function chosen({ name, z }, mine, theirs, count) {
  const [, h, w] = caseNamed(name).shape;
  const dialog = byId("conflict");
  byId("conflict-where").textContent = `${name}, slice ${z + 1}: ${count} ${count === 1 ? "pixel differs" : "pixels differ"}.`;
  for (const [id, labels] of [["conflict-mine", mine], ["conflict-theirs", theirs]]) {
    const canvas = byId(id);
    Object.assign(canvas, { width: w, height: h });
    canvas.getContext("2d").drawImage(scribbleLayer(labels, [h, w]), 0, 0);
  }
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue !== "theirs"), { once: true });
  });
}
