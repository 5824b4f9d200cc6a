// Painting on the shown slice's mask: brush, eraser, polygon, fill, undo; and its way to the server.

import * as api from "./api.js";
import { Change, History, replace, Stroke } from "./brush.js";
import { atWork, secondsAt } from "./clock.js";
import { reconcileMask } from "./maskconflict.js";
import { holdsMask, maskVersion, NONE } from "./maskversions.js";
import { active, isCorrected, mark, markTold, maskKey, painting, range, setMasks } from "./painting.js";
import { inside, joined } from "./region.js";
import { save, waits } from "./save.js";
import { arrays, forgetMask, maskAt, maskFrom } from "./slices.js";
import { caseNamed, channelOf, classes, emit, isOf, isShown, on, setReviews, shown, state } from "./state.js";
import { say } from "./status.js";
import { heard, unheard } from "./unheard.js";
import { addMark, grid, redraw, toScreen } from "./view.js";

const FULL = 65535;
const STEP = 1; // pixels between points of a polygon that is drawn in one move
const LASSO = 8; // points from which on a polygon that was drawn in one move is closed
const NEAR = 9; // px to the first point that close a polygon

const histories = new Map();
const begun = new Set(); // slices that had no painted mask before they were painted on
const outdated = new Set(); // those of them that began with what a run before the latest had predicted
let stroke = null;
let pennedOn = null; // the slice of the latest stroke or polygon
let polygon = []; // [x, y]
let dragged = false; // whether the pen is down for a polygon

function history(place = state.place) {
  const key = maskKey(place);
  if (!histories.has(key)) histories.set(key, new History());
  return histories.get(key);
}

/** A stroke that leaves pixels as they are where painting there is not allowed. */
class Paint extends Stroke {
  put(column, row, over) {
    super.put(column, row, (index) => over(index) && this.pen.allowed(index));
  }
}

/** The pen: a class, and where it paints. Background is what erasing leaves. */
function pen({ mask, image }, erasing) {
  const code = erasing ? 0 : state.tool.code;
  const spared = erasing || code === 0 ? state.tool.code : 0; // the one label that is painted over
  const tests = [];
  if (painting.sparing && spared !== code) tests.push((index) => mask[index] === spared);
  const ends = range();
  const met = { inside: false, outside: false }; // whether pixels in the range, and out of it, were painted over
  if (ends) {
    const test = within(image, ends);
    tests.push((index) => {
      const is = test(index);
      met[is ? "inside" : "outside"] = true;
      return is;
    });
  }
  return { code, size: state.tool.size, ends, met, allowed: (index) => tests.every((test) => test(index)) };
}

/** Say why nothing was painted, where the range of intensities is the reason. */
function tellOfRange({ ends, met }) {
  if (met.inside || !met.outside) return;
  say(`Nothing is painted: no pixel there has an intensity from ${ends.low} to ${ends.high}, the range that is set (Y).`);
}

function within(image, ends) {
  const { low, high } = channelOf(shown());
  const [from, to] = [ends.low, ends.high].map((value) => ((value - low) / (high - low || 1)) * FULL);
  const colours = shown().coloured ? 3 : 1;
  return (index) => {
    let sum = 0;
    for (let i = 0; i < colours; i++) sum += image[colours * index + i];
    return sum / colours >= from - 0.5 && sum / colours <= to + 0.5;
  };
}

export const penIsDown = () => stroke !== null || dragged;

/** @returns {boolean} whether painting has begun: not before the slice is here */
export function penDown(x, y, { erasing = state.tool.erasing } = {}) {
  const here = arrays();
  if (!here.mask || !here.image) return false;
  if (stroke) penUp(); // of the keyboard's pen
  atWork();
  pennedOn = state.place;
  if (painting.tool === "fill") fill(here, x, y, erasing);
  else if (painting.tool === "polygon") point(x, y);
  else {
    stroke = new Paint(here.mask, grid(), pen(here, erasing));
    stroke.place = state.place;
    painting.held = maskKey(state.place);
    penTo(x, y);
  }
  return true;
}

export function penTo(x, y) {
  atWork();
  if (dragged) {
    const [fromX, fromY] = polygon.at(-1);
    if (Math.hypot(x - fromX, y - fromY) >= STEP) polygon.push([x, y]);
    redraw();
    return;
  }
  stroke?.to(x, y);
  const box = stroke?.takeBox();
  if (box) emit("painted", box);
}

export function penUp() {
  if (dragged) {
    dragged = false;
    if (polygon.length >= LASSO) closePolygon();
    return;
  }
  if (!stroke) return;
  const { labels, place, change, pen: used } = stroke;
  stroke = painting.held = null;
  tellOfRange(used);
  if (change.empty && !isCorrected(place)) forgetMask(place); // it may be of a run before the latest by now
  settle(place, labels, change);
}

export function penCancel() {
  stroke?.cancel();
  stroke = painting.held = null;
  polygon = [];
  dragged = false;
  emit("painted");
}

function point(x, y) {
  const [first] = polygon;
  const away = (to) => Math.hypot(...toScreen(x, y).map((at, axis) => at - toScreen(...to)[axis]));
  if (polygon.length > 2 && (away(first) < NEAR || away(polygon.at(-1)) < NEAR / 3)) return closePolygon();
  polygon.push([x, y]);
  dragged = true;
  return redraw();
}

/** Paint what the polygon goes round. */
export function closePolygon() {
  const points = polygon;
  polygon = [];
  dragged = false;
  const here = arrays();
  if (points.length > 2 && here.mask && here.image) put(here, inside(points, grid()), pen(here, state.tool.erasing));
  redraw();
}

export const polygonIsOpen = () => polygon.length > 0;

function fill(here, x, y, erasing) {
  const { h, w } = grid();
  const [column, row] = [Math.floor(x), Math.floor(y)];
  if (column < 0 || row < 0 || column >= w || row >= h) return;
  const used = pen(here, erasing);
  put(here, joined(here.mask, { h, w }, row * w + column, used.allowed), used);
}

function put(here, indices, used) {
  const { code, allowed } = used;
  const before = new Map();
  for (const index of indices) if (here.mask[index] !== code && allowed(index)) before.set(index, here.mask[index]);
  for (const index of before.keys()) here.mask[index] = code;
  tellOfRange(used);
  settle(state.place, here.mask, new Change(here.mask, before));
}

/** A change has been made to a slice's mask. */
function settle(place, labels, change) {
  if (change.empty) return;
  history(place).push(change);
  keep(place, labels, change);
}

function keep(place, labels, change = null) {
  if (!isCorrected(place)) begun.add(maskKey(place));
  mark(place, true);
  save(place, labels, how(place));
  emit("painted", change?.boxIn(caseNamed(place.name)?.shape[2]));
}

function travel(step) {
  const { mask } = arrays();
  const change = mask && !penIsDown() && history()[step](mask);
  if (!change) return;
  const key = maskKey(state.place);
  // Who takes all back has not painted this slice.
  if (step === "undo" && !history().done.length && begun.has(key)) {
    mark(state.place, false);
    holdsMask(key, { base: mask.slice() });
    save(state.place, null, how(state.place));
    if (outdated.delete(key)) {
      histories.delete(key);
      forgetMask(state.place); // painting begins with what the latest run says
    }
    emit("painted", change.boxIn(grid().w));
  } else keep(state.place, mask, change);
}

export const undo = () => (polygon.length ? penCancel() : travel("undo"));
export const redo = () => travel("redo");
export const canUndo = () => ({ undo: history().done.length > 0, redo: history().undone.length > 0 });

/** Histories by mask, the latest last, with whether painting began there; and one that is put back. */
export const remembered = () => [...histories].map(([key, { done, undone }]) => [key, { done, undone, begun: begun.has(key) }]);
export function restored(key, { done, undone, begun: here }) {
  const history = new History();
  Object.assign(history, { done, undone });
  histories.set(key, history);
  if (here) begun.add(key);
}

/** Keep the mask as it is shown, also if nothing was painted on it. */
export async function keepAsIs() {
  const { place } = state;
  penUp();
  keep(place, await maskAt(place));
}

/** Begin again, unless somebody painted until the mask to begin with has come. @param {"given"|"prediction"|"empty"} from */
export async function beginFrom(from) {
  const { place } = state;
  penUp();
  const labels = await maskAt(place);
  const latest = history(place).done.at(-1);
  const wanted = await maskFrom(place, from);
  const painted = stroke?.labels === labels || history(place).done.at(-1) !== latest;
  if (painted || (await maskAt(place)) !== labels) {
    return say("The mask was painted meanwhile, so it stays. Undo brings back what it was.");
  }
  return settle(place, labels, replace(labels, wanted));
}

/** Copy the slice's mask to the slice `next`. @returns {boolean} whether it is here */
export async function copyTo(next) {
  const { mask } = arrays();
  if (!mask) return false;
  const labels = await maskAt(next);
  settle(next, labels, replace(labels, mask));
  return true;
}

/** Forget the painted mask of the shown slice. */
export function discard() {
  const place = state.place;
  penCancel(); // a stroke that goes on would paint the mask again
  histories.delete(maskKey(place));
  outdated.delete(maskKey(place));
  forgetMask(place);
  mark(place, false);
  save(place, null, how(place));
  emit("arrays");
}

const how = (place) => ({ key: maskKey(place), put: send, merge: reconcileMask });

/** Send a mask to the server; null takes it away. */
async function send({ place, labels }) {
  const clock = secondsAt(place);
  const spent = clock.take();
  const key = maskKey(place);
  const sent = labels?.slice();
  try {
    const version = maskVersion(key);
    const told = sent ? await api.putMask(place.name, place.z, sent, spent, version) : await taken(place, version);
    const { version: now, ...masks } = told;
    holdsMask(key, sent ? { version: now, base: sent } : { version: now });
    heard(key);
    if (!waits(key)) markTold(place); // it was not changed again meanwhile
    const there = caseNamed(place.name); // the folder may have been read anew, or the case be gone
    if (labels && there) there.seconds += spent;
    setMasks(place.name, masks);
    setReviews(place.name, place.z, masks.reviews);
    emit("corrected"); // the server knows it now
  } catch (error) {
    clock.add(spent);
    if (sent && error.passing) await unheard(key, sent);
    throw error;
  }
}

async function taken(place, version) {
  try {
    return await api.deleteMask(place.name, place.z, version);
  } catch (error) {
    if (error.status !== 404) throw error;
    const { masks, reviews } = caseNamed(place.name) ?? {}; // its image is gone
    return { ...masks, corrected: masks?.corrected.filter((z) => z !== place.z), reviews: reviews ?? {}, version: NONE };
  }
}

function outline(context) {
  if (!active() || !polygon.length) return;
  context.beginPath();
  polygon.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](...toScreen(x, y)));
  for (const [width, style] of [[3.5, "rgb(0 0 0 / 60%)"], [1.6, state.tool.erasing ? "#ffffff" : classes()[state.tool.code].colour]]) {
    Object.assign(context, { lineWidth: width, strokeStyle: style });
    context.stroke();
  }
  const [x, y] = toScreen(...polygon[0]);
  context.strokeRect(x - 4, y - 4, 8, 8);
}

function leave() {
  penUp(); // a stroke is kept, as it is when somebody scribbles
  if (polygon.length) penCancel();
}

export function startPaint() {
  addMark(outline);
  for (const event of ["place", "tab"]) {
    on(event, () => (active() && pennedOn && isShown(pennedOn)) || leave()); // the folder is read again while somebody paints
  }
  on("recoded", () => {
    penCancel();
    histories.clear();
  });
  on("replaced", ({ name, reshaped }) => {
    if (pennedOn?.name === name) leave();
    if (reshaped) for (const key of [...histories.keys()]) if (isOf(key, name)) histories.delete(key);
  });
  on("trained", () => {
    for (const [key, { done }] of [...histories]) {
      if (!begun.has(key)) continue;
      if (done.length) outdated.add(key);
      else histories.delete(key);
    }
  });
}
