// Bitmaps of a slice in array space (one pixel a voxel), and outlines of its labels.

import { classes, EMPTY } from "./state.js";

const FAINT = 12; // of 255: doubt that is everywhere, and would tint the whole slice

const STRIP = 64; // rows that are coloured together

const canvas = (h, w) => Object.assign(document.createElement("canvas"), { height: h, width: w });

/** A bitmap of a slice: `fill(words, at, from, count)` writes the words of `count` pixels from index `from` on. */
function bitmap([h, w], fill) {
  const made = canvas(h, w);
  paintBox(made, fill, { top: 0, left: 0, bottom: h, right: w });
  return Object.assign(made, { fill });
}

/** Large slices have millions of pixels, so a stroke colours anew only those in its box. */
export function repaint(made, { top, left, bottom, right }) {
  const box = { top: Math.max(top, 0), left: Math.max(left, 0), bottom: Math.min(bottom, made.height), right: Math.min(right, made.width) };
  if (box.top < box.bottom && box.left < box.right) paintBox(made, made.fill, box);
}

/** In strips: the words of all of a large slice would be tens of millions of bytes that are touched once. */
function paintBox(made, fill, { top, left, bottom, right }) {
  const context = made.getContext("2d");
  const strip = new ImageData(right - left, Math.min(STRIP, bottom - top));
  const words = new Uint32Array(strip.data.buffer);
  for (let first = top; first < bottom; first += STRIP) {
    const rows = Math.min(STRIP, bottom - first);
    for (let row = 0; row < rows; row++) fill(words, row * strip.width, (first + row) * made.width + left, strip.width);
    context.putImageData(strip, left, first, 0, 0, strip.width, rows);
  }
}

/** @param {Uint32Array} table words by value */
const byTable = (values, table) => (words, at, from, count) => {
  for (let i = 0; i < count; i++) words[at + i] = table[values[from + i]];
};

const word = ([red, green, blue], alpha) => ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;

export function rgb(colour) {
  const number = Number.parseInt(colour.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

/** @param {Uint8ClampedArray} bright brightness by value  @param {boolean} coloured red, green and blue in turn */
export function imageLayer(image, [h, w], bright, coloured) {
  if (!coloured) return bitmap([h, w], byTable(image, Uint32Array.from(bright, (grey) => word([grey, grey, grey], 255))));
  return bitmap([h, w], (words, at, from, count) => {
    for (let i = 0, k = 3 * from; i < count; i++, k += 3) {
      words[at + i] = 0xff000000 | (bright[image[k + 2]] << 16) | (bright[image[k + 1]] << 8) | bright[image[k]];
    }
  });
}

export function scribbleLayer(labels, shape) {
  const table = new Uint32Array(256).fill(word([120, 120, 120], 255)); // codes of no class
  classes().forEach(({ colour }, code) => (table[code] = word(rgb(colour), 255)));
  table[EMPTY] = 0;
  return bitmap(shape, byTable(labels, table));
}

/** Structures filled with their colour; background stays clear. */
export function labelLayer(labels, shape) {
  const table = new Uint32Array(256);
  classes().forEach(({ colour }, code) => (table[code] = code ? word(rgb(colour), 255) : 0));
  return bitmap(shape, byTable(labels, table));
}

/** From nothing over violet to yellow, as the disagreement grows. */
const HEAT = Uint32Array.from({ length: 256 }, (_, value) =>
  word([170 + value / 3, 40 + (value * 200) / 255, 230 - value / 1.4], value < FAINT ? 0 : (value / 255) ** 0.7 * 230),
);
export const heatLayer = (values, shape) => bitmap(shape, byTable(values, HEAT));

const BAND = 64; // rows of an outline that are traced together

/** Outlines along pixels' edges, in bands of rows: each holds a path by class, or null where a class has no edge. */
export const outlines = (labels, [h, w]) => Array.from({ length: Math.ceil((h + 1) / BAND) }, (_, at) => band(labels, [h, w], at));

/** Trace anew the bands that a box touches; an edge lies between two rows. */
export function retrace(bands, labels, shape, { top, bottom }) {
  const last = Math.min(Math.floor(bottom / BAND), bands.length - 1);
  for (let at = Math.floor(top / BAND); at <= last; at++) bands[at] = band(labels, shape, at);
}

function band(labels, [h, w], place) {
  const paths = classes().map(() => null);
  const at = (row, column) => (row < 0 || column < 0 || row >= h || column >= w ? 0 : labels[row * w + column]);
  const edge = (label, ...ends) => {
    if (label >= paths.length) return;
    paths[label] ??= new Path2D();
    paths[label].moveTo(ends[0], ends[1]);
    paths[label].lineTo(ends[2], ends[3]);
  };
  for (let row = place * BAND; row < Math.min((place + 1) * BAND, h + 1); row++) {
    for (let column = 0; column <= w; column++) {
      const index = row * w + column;
      // Most pixels have no edge: what is inside a structure is passed over at once.
      if (row && column && row < h && column < w && labels[index] === labels[index - w] && labels[index] === labels[index - 1]) continue;
      const here = at(row, column);
      const [above, left] = [at(row - 1, column), at(row, column - 1)];
      if (here !== above) for (const label of [here, above]) if (label) edge(label, column, row, column + 1, row);
      if (here !== left) for (const label of [here, left]) if (label) edge(label, column, row, column, row + 1);
    }
  }
  return paths;
}
