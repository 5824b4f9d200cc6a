// What the pen draws into: the strokes of the shown slice, or its mask.

import * as strokes from "./draw.js";
import { showAgain } from "./hiding.js";
import * as mask from "./paint.js";
import { active, isCorrected } from "./painting.js";
import { isUnsaved } from "./save.js";
import { go, keyOf, on, shown, state } from "./state.js";
import { say, telling } from "./status.js";

export { drawnPixels } from "./draw.js";

const target = () => (active() ? mask : strokes);

/** Strokes on a painted mask would not count, so none are drawn there. */
function barred(place = state.place) {
  const is = !active() && isCorrected(place);
  if (is) say("The painted mask of this slice counts. Paint on it (P), or discard it to draw strokes.", "trouble");
  return is;
}

export const penIsDown = () => target().penIsDown();
/** Whether going elsewhere would end a stroke, or lose a polygon. */
export const isAtWork = () => penIsDown() || (active() && mask.polygonIsOpen());
export function penDown(...args) {
  if (barred()) return false;
  showAgain(active() ? "shown" : "strokes");
  return target().penDown(...args);
}
export const penTo = (...args) => target().penTo(...args);
export const penUp = () => target().penUp();
export const penCancel = () => target().penCancel();
/** Strokes that another page's mask came before are not saved: they can be taken back, and nothing else helps but to discard it. */
const stuck = () => !active() && state.place && isUnsaved(keyOf(state.place));
export const undo = () => (!stuck() && barred()) || target().undo();
export const redo = () => (!stuck() && barred()) || target().redo();
export const canUndo = () => target().canUndo();
export const clearSlice = () => barred() || strokes.clearSlice();

/** Take the slice's strokes, or its mask, along to the next slice. */
export const copyToNext = telling(async () => {
  if (!shown()) return undefined;
  const next = { ...state.place, z: state.place.z + 1 };
  if (next.z >= shown().shape[0]) return say("This is the last slice: there is none to copy to.");
  if (barred(next)) return undefined;
  const from = state.place;
  const copied = await target().copyTo(next);
  if (!copied || state.place !== from) return undefined; // who went elsewhere meanwhile stays there
  if (isAtWork()) return say("They are on the next slice, too. You draw here, so this one stays.");
  return go(next.name, next.z);
});

// What is under the pen is learnt and exported, too. In the other two tabs one goes on drawing.
on("tab", () => ["train", "results"].includes(state.tab) && strokes.penUp());
