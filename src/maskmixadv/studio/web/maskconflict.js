// Two pages have painted on one slice's mask: both are merged; where they differ, a person chooses.

import * as api from "./api.js";
import { together } from "./conflict.js";
import { labelLayer } from "./layers.js";
import { holdsMask, maskBase, NONE } from "./maskversions.js";
import { markTold, maskKey, setMasks } from "./painting.js";
import { forgetMask } from "./slices.js";
import { caseNamed, emit } from "./state.js";
import { say } from "./status.js";
import { heard, isOwn } from "./unheard.js";

/**
 * Merge what the server has of a mask into `labels`, in place; null: this page wants to discard the mask.
 * @returns {Promise<boolean>} whether `labels` have to be sent again
 */
export async function reconcileMask({ place, labels }) {
  const key = maskKey(place);
  const found = await painted(place);
  const where = `${place.name}, slice ${place.z + 1}`;
  if (!labels) {
    if (found) {
      const masks = caseNamed(place.name)?.masks;
      forgetMask(place);
      markTold(place);
      setMasks(place.name, { ...masks, corrected: [...new Set([...(masks?.corrected ?? []), place.z])] });
      emit("arrays");
      say(`Another page has painted on ${where} since, so the mask is not discarded. Look at it, and discard it again.`, "trouble");
    }
    return false;
  }
  if (!found) {
    holdsMask(key, { version: NONE });
    say(`Another page has discarded the mask of ${where}. It is kept as it was painted here.`);
    return true;
  }
  const own = await isOwn(key, found.labels);
  const base = own ? found.labels : maskBase(key, labels);
  labels.set(await together(place, [base, labels, found.labels], { layer: labelLayer, verb: "painted" }));
  heard(key);
  holdsMask(key, { version: found.version, base: found.labels });
  for (const event of ["painted", "arrays"]) emit(event);
  if (!own) emit("merged", place);
  return true;
}

/** The mask that the server has; null where there is none. */
async function painted({ name, z }) {
  try {
    return await api.getMask(name, z);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}
