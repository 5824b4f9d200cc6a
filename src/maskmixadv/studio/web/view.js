// The viewer: a slice in array space on a Canvas 2D, zoomed and panned, pixels in their true aspect.

import { clear, density, onDensity } from "./density.js";
import { byId } from "./element.js";
import { heatLayer, imageLayer, labelLayer, outlines, repaint, retrace, scribbleLayer } from "./layers.js";
import { shownPreview } from "./preview.js";
import { shownProposal } from "./proposals.js";
import { arrays, askNeighbours } from "./slices.js";
import { classes, EMPTY, on, shown, state } from "./state.js";
import { traced } from "./trace.js";
import * as grey from "./window.js";

const MARGIN = 18; // px round a fitted slice
const [FARTHEST, CLOSEST] = [0.1, 60]; // px a voxel; farther or closer where only that fits the view
const FAINT = 0.3; // opacity
const FAINTER = 0.16; // opacity of a proposal
const DASH = [5, 4]; // px of its outline
const HALO = 4; // px round strokes and outlines on pictures in colour

export const canvas = byId("canvas");
const context = canvas.getContext("2d");
const frame = { zoom: 1, x: 0, y: 0, fitted: true };
const layers = { image: null, scribble: null, prediction: null, disagreement: null, proposal: null };
let marks = []; // what others draw on top: the pen's ring, the keyboard's cursor
let asked = false;

/** A slice's rows and columns, and its pixels' height over their width. */
export function grid() {
  const one = shown();
  if (!one) return null;
  const [, h, w] = one.shape;
  const [, tall, wide] = one.spacing ?? [1, 1, 1];
  return { h, w, aspect: tall / wide };
}

/** Screen pixels a column and a row. */
function scales() {
  const { aspect } = grid();
  return aspect >= 1 ? [frame.zoom, frame.zoom * aspect] : [frame.zoom / aspect, frame.zoom];
}

export function toArray(clientX, clientY) {
  const box = canvas.getBoundingClientRect();
  const [sx, sy] = scales();
  return [(clientX - box.left - frame.x) / sx, (clientY - box.top - frame.y) / sy];
}

/** From the canvas's upper left corner, in CSS pixels. */
export function toScreen(x, y) {
  const [sx, sy] = scales();
  return [frame.x + x * sx, frame.y + y * sy];
}

export const penWidth = () => state.tool.size * frame.zoom;
/** Screen pixels a millimetre; null where spacing is not known. */
export const millimetre = () => (shown()?.spacing ? scales()[0] / shown().spacing[2] : null);
export const zoomFactor = () => frame.zoom;

/** Columns and rows of the slice as it would be with one screen pixel to a pixel's shorter side. */
function sides() {
  const { h, w, aspect } = grid();
  return aspect >= 1 ? [w, h * aspect] : [w / aspect, h];
}

/** The zoom with which the slice fits the view. */
function fitting() {
  const rooms = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(side - 2 * MARGIN, 1));
  return Math.min(...sides().map((side, axis) => rooms[axis] / side));
}

export function fit() {
  if (!grid()) return;
  const [wide, tall] = sides();
  frame.zoom = fitting();
  frame.x = (canvas.clientWidth - wide * frame.zoom) / 2;
  frame.y = (canvas.clientHeight - tall * frame.zoom) / 2;
  frame.fitted = true;
  redraw();
}

/** Zoom about a point of the canvas, its middle by default. */
export function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  if (!grid()) return;
  const fits = fitting();
  const wanted = Math.min(Math.max(frame.zoom * factor, Math.min(fits, FARTHEST)), Math.max(fits, CLOSEST));
  const real = wanted / frame.zoom;
  Object.assign(frame, { zoom: wanted, x: x - (x - frame.x) * real, y: y - (y - frame.y) * real, fitted: false });
  redraw();
}

export function pan(dx, dy) {
  frame.x += dx;
  frame.y += dy;
  frame.fitted = false;
  redraw();
}

/** Pan so far that (x, y) of the array is to be seen. */
export function reveal(x, y) {
  const [left, top] = toScreen(x, y);
  const inside = (at, size) => Math.min(Math.max(at, MARGIN), size - MARGIN) - at;
  const [dx, dy] = [inside(left, canvas.clientWidth), inside(top, canvas.clientHeight)];
  if (dx || dy) pan(dx, dy);
}

/** `draw(context)` is called after each redraw, in CSS pixels. */
export const addMark = (draw) => marks.push(draw);

export function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw();
  });
}

/** How the slice is zoomed and panned; null where it fits the view. */
export const frameNow = () => (frame.fitted ? null : { ...frame });
export function setFrame(found) {
  Object.assign(frame, found);
  redraw();
}

function draw() {
  clear(canvas); // its size may be another one by now
  if (!state.place) return;
  const { image, scribble, prediction, disagreement, mask, given } = arrays();
  const labels = mask ?? shownPreview() ?? given ?? prediction;
  grey.ensure(image);
  if (image) paint(layer("image", image, (a, shape) => imageLayer(a, shape, grey.table(), shown().coloured)), { smooth: true });
  if (image && labels && state.overlay.shown) paintPrediction(labels);
  if (image && !mask && shownProposal()) paintProposal(shownProposal());
  if (image && disagreement) paint(layer("disagreement", disagreement, heatLayer), { smooth: true });
  const alpha = mask ? FAINT : 1; // strokes do not count beside a painted mask
  if (image && scribble && state.overlay.strokes) paintStrokes(layer("scribble", scribble, scribbleLayer), alpha);
  for (const mark of marks) mark(context);
}

/** A layer is made anew when its array is another one, or has been forgotten. */
function layer(name, array, make) {
  if (layers[name]?.array !== array) {
    const { h, w } = grid();
    layers[name] = { array, made: make(array, [h, w]) };
  }
  return layers[name].made;
}

/** What is drawn next has a dark edge, so that it stands out from a picture's colours. */
const edged = () => Object.assign(context, { shadowColor: "#000", shadowBlur: HALO * density() });

function paint(bitmap, { smooth = false, alpha = 1, halo = false } = {}) {
  const [sx, sy] = scales();
  context.save();
  if (halo) edged();
  context.globalAlpha = alpha;
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, frame.x, frame.y, bitmap.width * sx, bitmap.height * sy);
  context.restore();
}

/** Where many pixels become one on the screen, thin strokes would be dotted or gone; smoothed they are faint, so twice. */
function paintStrokes(made, alpha) {
  const smooth = Math.min(...scales()) < 1;
  paint(made, { alpha, smooth, halo: shown().coloured });
  if (smooth) paint(made, { alpha, smooth });
}

function paintPrediction(prediction) {
  const made = layer("prediction", prediction, (a, shape) => [labelLayer(a, shape), outlines(a, shape)]);
  paint(made[0], { alpha: state.overlay.opacity });
  if (!state.overlay.contour) return;
  if (shown().coloured) {
    context.save();
    edged();
    strokeAll(made[1]);
    context.restore();
  }
  strokeAll(made[1]); // above all edges
}

/** Fainter than a prediction, and dashed. */
function paintProposal(proposal) {
  const count = classes().length;
  const made = layer("proposal", proposal, (a, shape) => [labelLayer(a, shape), traced(a, shape, count)]);
  paint(made[0], { alpha: FAINTER });
  context.save();
  if (shown().coloured) edged();
  context.setLineDash(DASH);
  strokeAll([made[1]]);
  context.restore();
}

/** @param {(Path2D | null)[][]} bands paths by class, of each part of the slice */
function strokeAll(bands) {
  const [sx, sy] = scales();
  const matrix = new DOMMatrix([sx, 0, 0, sy, frame.x, frame.y]);
  classes().forEach(({ colour }, code) => {
    const placed = new Path2D();
    for (const paths of bands) if (paths[code]) placed.addPath(paths[code], matrix);
    Object.assign(context, { strokeStyle: colour, lineWidth: 1.6, lineCap: "square" });
    context.stroke(placed);
  });
}

/** What is inside a box has another colour by now; what knows no box means all of the slice. */
function touch(name, box) {
  const kept = layers[name];
  if (!box || !kept) return forget(name);
  if (Array.isArray(kept.made)) {
    const [bitmap, bands] = kept.made;
    repaint(bitmap, box);
    retrace(bands, kept.array, [bitmap.height, bitmap.width], box);
  } else repaint(kept.made, box);
  return redraw();
}

function forget(...names) {
  for (const name of names) layers[name] = null;
  redraw();
}

function resize() {
  if (frame.fitted) fit();
  redraw();
}

/** Labels under a point, for the corner's text: {scribble, prediction, kind}, null where there is none. */
export function labelsAt(x, y) {
  const { h, w } = grid();
  const [column, row] = [Math.floor(x), Math.floor(y)];
  if (column < 0 || row < 0 || column >= w || row >= h) return null;
  const { scribble, prediction, mask, given } = arrays();
  const preview = shownPreview();
  const [labels, kind] = mask ? [mask, "mask"] : preview ? [preview, "preview"] : given ? [given, "given"] : [prediction, "predicted"];
  const drawn = scribble?.[row * w + column] ?? EMPTY;
  return { row, column, scribble: drawn === EMPTY ? null : drawn, prediction: labels?.[row * w + column] ?? null, kind };
}

export function startView() {
  let before = null;
  new ResizeObserver(resize).observe(canvas);
  onDensity(redraw);
  on("place", () => {
    if (state.place?.name !== before?.name) fit();
    before = state.place;
    if (state.place) askNeighbours();
    redraw();
  });
  on("folder", () => forget("scribble", "prediction", "proposal"));
  on("channel", () => {
    if (state.place) askNeighbours();
    redraw();
  });
  on("pixels", (box) => touch("scribble", box));
  on("painted", (box) => touch("prediction", box));
  for (const event of ["painting", "masked", "tab"]) on(event, redraw);
  on("window", () => forget("image"));
  for (const event of ["arrays", "overlay", "tool", "proposed"]) on(event, redraw);
}
