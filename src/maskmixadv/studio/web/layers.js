// Bitmaps of a slice in array space (one pixel a voxel), and outlines of its labels.

import { classes, EMPTY } from "./state.js";

const FAINT = 12; // of 255: doubt that is everywhere, and would tint the whole slice

const canvas = (h, w) => Object.assign(document.createElement("canvas"), { height: h, width: w });

/** A bitmap whose pixels `colour(value, index)` gives as [red, green, blue, alpha], 0 to 255. */
function bitmap(values, [h, w], colour) {
  const made = canvas(h, w);
  const pixels = new ImageData(w, h);
  const words = new Uint32Array(pixels.data.buffer);
  values.forEach((value, index) => (words[index] = colour(value, index)));
  made.getContext("2d").putImageData(pixels, 0, 0);
  return made;
}

const word = ([red, green, blue], alpha) => ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;

export function rgb(colour) {
  const number = Number.parseInt(colour.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

/** @param {Uint8ClampedArray} bright brightness by value  @param {boolean} coloured red, green and blue in turn */
export function imageLayer(image, [h, w], bright, coloured) {
  if (!coloured) return bitmap(image, [h, w], (value) => word([bright[value], bright[value], bright[value]], 255));
  const at = (index) => bright[image[index]];
  return bitmap(new Uint8Array(h * w), [h, w], (_, index) => word([at(3 * index), at(3 * index + 1), at(3 * index + 2)], 255));
}

export function scribbleLayer(labels, shape) {
  const words = classes().map(({ colour }) => word(rgb(colour), 255));
  const ignored = word([120, 120, 120], 255);
  return bitmap(labels, shape, (label) => (label === EMPTY ? 0 : (words[label] ?? ignored)));
}

/** Structures filled with their colour; background stays clear. */
export function labelLayer(labels, shape) {
  const words = classes().map(({ colour }, code) => (code ? word(rgb(colour), 255) : 0));
  return bitmap(labels, shape, (label) => words[label] ?? 0);
}

/** From nothing over violet to yellow, as the disagreement grows. */
export const heatLayer = (values, shape) =>
  bitmap(values, shape, (value) => word([170 + value / 3, 40 + (value * 200) / 255, 230 - value / 1.4], value < FAINT ? 0 : (value / 255) ** 0.7 * 230));

/** One path a structure, along its pixels' edges. */
export function outlines(labels, [h, w]) {
  const paths = classes().map(() => new Path2D());
  const at = (row, column) => (row < 0 || column < 0 || row >= h || column >= w ? 0 : labels[row * w + column]);
  const edge = (label, ...ends) => {
    paths[label]?.moveTo(ends[0], ends[1]);
    paths[label]?.lineTo(ends[2], ends[3]);
  };
  for (let row = 0; row <= h; row++) {
    for (let column = 0; column <= w; column++) {
      const here = at(row, column);
      const [above, left] = [at(row - 1, column), at(row, column - 1)];
      if (here !== above) for (const label of [here, above]) if (label) edge(label, column, row, column + 1, row);
      if (here !== left) for (const label of [here, left]) if (label) edge(label, column, row, column, row + 1);
    }
  }
  return paths;
}
