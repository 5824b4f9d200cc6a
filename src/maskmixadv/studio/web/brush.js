// Strokes as pixels: drawn into a slice's labels, undone and redone by slice.

import { EMPTY } from "./state.js";

const UNDOS = 200;

/** One stroke; coordinates are in pixels, (0, 0) the first pixel's upper left corner. */
export class Stroke {
  /**
   * @param {Uint8Array} labels row-major, h × w; changed in place
   * @param {{h: number, w: number, aspect: number}} grid aspect: a pixel's height over its width
   * @param {{code: number, size: number}} pen size: diameter in pixels' shorter sides
   */
  constructor(labels, grid, pen) {
    Object.assign(this, { labels, grid, pen });
    this.before = new Map();
    this.path = [];
    this.box = null; // of the pixels that have changed since it was taken
  }

  /** Draw a straight line from where the stroke is to (x, y). */
  to(x, y) {
    const [fromX, fromY] = this.path.at(-1) ?? [x, y];
    this.path.push([x, y]);
    this.line(fromX, fromY, x, y);
  }

  line(fromX, fromY, x, y, over = () => true) {
    const far = Math.max(0.5, this.pen.size / 80); // pixels between two dabs: broad ones leave an even edge, too
    const steps = Math.max(1, Math.ceil(Math.hypot(x - fromX, y - fromY) / far));
    for (let i = 0; i <= steps; i++) {
      this.dab(fromX + ((x - fromX) * i) / steps, fromY + ((y - fromY) * i) / steps, over);
    }
  }

  /** Close the stroke to its start, without drawing over other strokes; only where it came some way round. */
  close() {
    const [startX, startY] = this.path[0];
    const [x, y] = this.path.at(-1);
    const gap = Math.hypot(x - startX, y - startY);
    if (gap > this.length / 2) return;
    this.line(x, y, startX, startY, (index) => this.labels[index] === EMPTY);
  }

  get length() {
    return this.path.slice(1).reduce((sum, [x, y], i) => sum + Math.hypot(x - this.path[i][0], y - this.path[i][1]), 0);
  }

  dab(x, y, over) {
    const { h, w, aspect } = this.grid;
    const [tall, wide] = aspect >= 1 ? [aspect, 1] : [1, 1 / aspect];
    const radius = this.pen.size / 2;
    this.put(Math.floor(x), Math.floor(y), over);
    const [top, bottom] = [Math.max(0, Math.floor(y - radius / tall)), Math.min(h - 1, Math.floor(y + radius / tall))];
    const [left, right] = [Math.max(0, Math.floor(x - radius / wide)), Math.min(w - 1, Math.floor(x + radius / wide))];
    for (let row = top; row <= bottom; row++) {
      for (let column = left; column <= right; column++) {
        const away = Math.hypot((row + 0.5 - y) * tall, (column + 0.5 - x) * wide);
        if (away <= radius) this.put(column, row, over);
      }
    }
  }

  put(column, row, over) {
    const { h, w } = this.grid;
    if (column < 0 || row < 0 || column >= w || row >= h) return;
    const index = row * w + column;
    if (this.labels[index] === this.pen.code || !over(index)) return;
    if (!this.before.has(index)) this.before.set(index, this.labels[index]);
    this.labels[index] = this.pen.code;
    this.box = around(this.box, row, column);
  }

  /** The box of what has changed since the last call; null if nothing has. */
  takeBox() {
    const box = this.box;
    this.box = null;
    return box;
  }

  cancel() {
    for (const [index, label] of this.before) this.labels[index] = label;
    this.before.clear();
  }

  get change() {
    return new Change(this.labels, this.before);
  }
}

function around(box, row, column) {
  if (!box) return { top: row, left: column, bottom: row + 1, right: column + 1 };
  box.top = Math.min(box.top, row);
  box.left = Math.min(box.left, column);
  box.bottom = Math.max(box.bottom, row + 1);
  box.right = Math.max(box.right, column + 1);
  return box;
}

/** What a stroke changed: as much as is needed to undo and redo it. */
export class Change {
  /** @param {Uint8Array} labels as they are now  @param {Map<number, number>} before labels that were, by index */
  constructor(labels, before) {
    this.indices = Uint32Array.from(before.keys());
    this.before = Uint8Array.from(before.values());
    this.after = this.indices.map((index) => labels[index]);
  }

  get empty() {
    return !this.indices.length;
  }

  /** The box round what changed, in a slice of width `w`: {top, left, bottom, right}, the ends exclusive. */
  boxIn(w) {
    let box = null;
    for (const index of this.indices) box = around(box, Math.floor(index / w), index % w);
    return box;
  }
}

/** Make `wanted` of `labels`; returns what that changed. */
export function replace(labels, wanted) {
  const before = new Map();
  for (let index = 0; index < labels.length; index++) if (wanted[index] !== labels[index]) before.set(index, labels[index]);
  labels.set(wanted);
  return new Change(labels, before);
}

/** `labels` with what is drawn in `from` where nothing is drawn yet. */
export const underlay = (labels, from) => labels.map((label, index) => (label === EMPTY ? from[index] : label));

/** Only pixels that still are as the change left them: others may have been drawn elsewhere since. */
function write(labels, indices, now, wanted) {
  const before = new Map();
  indices.forEach((index, i) => {
    if (labels[index] !== now[i]) return;
    before.set(index, labels[index]);
    labels[index] = wanted[i];
  });
  return new Change(labels, before);
}

export class History {
  constructor() {
    this.done = [];
    this.undone = [];
  }

  push(change) {
    this.done.push(change);
    if (this.done.length > UNDOS) this.done.shift();
    this.undone = [];
  }

  /** @returns {Change | null} what that changed in `labels`; null where there is nothing to undo */
  undo(labels) {
    const change = this.done.pop();
    if (!change) return null;
    this.undone.push(change);
    return write(labels, change.indices, change.after, change.before);
  }

  redo(labels) {
    const change = this.undone.pop();
    if (!change) return null;
    this.done.push(change);
    return write(labels, change.indices, change.before, change.after);
  }
}
