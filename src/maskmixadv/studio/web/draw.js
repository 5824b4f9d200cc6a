// Drawing on the shown slice, whatever moves the pen: strokes, undo, copying; and their way to the server.

import { History, replace, Stroke, underlay } from "./brush.js";
import { atWork } from "./clock.js";
import { count, countsOf, underPen } from "./counts.js";
import { save } from "./save.js";
import { arrays, scribbleAt } from "./slices.js";
import { caseNamed, EMPTY, emit, isOf, isShown, keyOf, on, state } from "./state.js";
import { grid } from "./view.js";

const histories = new Map();
let stroke = null; // the one under the pen, with the place where it is

function history(place = state.place) {
  const key = keyOf(place);
  if (!histories.has(key)) histories.set(key, new History());
  return histories.get(key);
}

export const penIsDown = () => stroke !== null;

/** @returns {boolean} whether a stroke has begun: not before the slice is here */
export function penDown(x, y, { erasing = state.tool.erasing } = {}) {
  const { scribble, image } = arrays();
  if (!scribble || !image) return false;
  penUp(); // of the keyboard's pen, for example: what it drew is kept, and can be undone
  const code = erasing ? EMPTY : state.tool.code;
  stroke = new Stroke(scribble, grid(), { code, size: state.tool.size });
  stroke.place = state.place;
  underPen(scribble);
  penTo(x, y);
  return true;
}

export function penTo(x, y) {
  atWork();
  stroke?.to(x, y);
  const box = stroke?.takeBox();
  if (box) emit("pixels", box);
}

export function penUp() {
  if (!stroke) return;
  const { labels, place, change } = finished();
  stroke = null;
  underPen(null);
  settle(place, labels, change);
}

function finished() {
  if (state.tool.closing && stroke.pen.code === 0) stroke.close();
  return stroke;
}

export function penCancel() {
  stroke?.cancel();
  stroke = null;
  underPen(null);
  emit("pixels");
}

/** A change has been made to a slice's labels. */
function settle(place, labels, change) {
  if (change.empty) return;
  history(place).push(change);
  count(labels, change);
  save(place, labels);
  emit("pixels", change.boxIn(caseNamed(place.name)?.shape[2]));
  emit("drawn", { place, labels });
}

function travel(step) {
  const { scribble } = arrays();
  const change = scribble && !stroke && history()[step](scribble);
  if (!change) return;
  count(scribble, change);
  save(state.place, scribble);
  emit("pixels", change.boxIn(grid().w));
  emit("drawn", { place: state.place, labels: scribble });
}

export const undo = () => travel("undo");
export const redo = () => travel("redo");

export function clearSlice() {
  penUp(); // what is under the keyboard's pen is cleared, too
  const { scribble } = arrays();
  if (scribble) settle(state.place, scribble, replace(scribble, new Uint8Array(scribble.length).fill(EMPTY)));
}

/** Copy the slice's strokes to the slice `next`, below what is drawn there already. @returns {boolean} whether they are here */
export async function copyTo(next) {
  const { scribble } = arrays();
  if (!scribble) return false;
  const labels = await scribbleAt(next);
  settle(next, labels, replace(labels, underlay(labels, scribble)));
  return true;
}

/** Pixels drawn of each class on the shown slice. */
export function drawnPixels() {
  const { scribble } = arrays();
  return scribble ? countsOf(scribble) : new Map();
}

/** Histories by slice, the latest last; and one that is put back. */
export const remembered = () => [...histories];
export function restored(key, { done, undone }) {
  const history = new History();
  Object.assign(history, { done, undone });
  histories.set(key, history);
}

export const canUndo = () => ({ undo: history().done.length > 0, redo: history().undone.length > 0 });

// The folder is read again and again while somebody draws: a stroke ends where its slice is left.
on("place", () => stroke && !isShown(stroke.place) && penUp());
on("recoded", () => {
  penCancel();
  histories.clear();
});
on("replaced", ({ name, reshaped }) => {
  if (stroke?.place.name === name) penUp();
  if (reshaped) for (const key of [...histories.keys()]) if (isOf(key, name)) histories.delete(key);
});
