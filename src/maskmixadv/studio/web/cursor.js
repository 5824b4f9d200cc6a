// The keyboard's pen: a cross that moves by pixels, and draws while it is down.

import * as draw from "./hand.js";
import { announce } from "./status.js";
import { classes, emit, on, state } from "./state.js";
import { addMark, grid, redraw, reveal, toScreen } from "./view.js";

const ARM = 9; // px
let at = null; // middle of a pixel, [x, y]

/** Show the cross where the slice's middle is, unless it is somewhere already. */
function ensure() {
  const { h, w } = grid();
  at ??= [Math.floor(w / 2) + 0.5, Math.floor(h / 2) + 0.5];
}

/** Where the cross is, [x, y]; the middle of the slice unless somebody has moved it. */
export function cursorAt() {
  if (!state.place) return null;
  ensure();
  return at;
}

export function placeCursor(x, y) {
  const { h, w } = grid();
  const inside = (value, size) => Math.min(Math.max(Math.floor(value), 0), size - 1) + 0.5;
  at = [inside(x, w), inside(y, h)];
  emit("cross");
  redraw();
}

export function moveCursor(columns, rows) {
  if (!state.place) return;
  ensure();
  const { h, w } = grid();
  at = [Math.min(Math.max(at[0] + columns, 0.5), w - 0.5), Math.min(Math.max(at[1] + rows, 0.5), h - 0.5)];
  if (draw.penIsDown()) draw.penTo(...at);
  reveal(...at);
  emit("cross");
  announce(`row ${Math.floor(at[1])}, column ${Math.floor(at[0])}`);
  redraw();
}

/** Pen down where the cross is, or up again, which ends the stroke. */
export function togglePen() {
  if (!state.place) return;
  ensure();
  if (draw.penIsDown()) {
    draw.penUp();
    announce("pen up");
  } else if (draw.penDown(...at)) {
    announce(`pen down, ${state.tool.erasing ? "eraser" : classes()[state.tool.code].name}`);
  }
  redraw();
}

export function dropCursor() {
  draw.penCancel();
  at = null;
  redraw();
}

function cross(context) {
  if (!at) return;
  const [x, y] = toScreen(...at);
  const gap = draw.penIsDown() ? 0 : 3;
  context.beginPath();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    context.moveTo(x + dx * gap, y + dy * gap);
    context.lineTo(x + dx * ARM, y + dy * ARM);
  }
  for (const [width, style] of [[4, "rgb(0 0 0 / 70%)"], [1.6, "#ffffff"]]) {
    Object.assign(context, { lineWidth: width, strokeStyle: style });
    context.stroke();
  }
}

export function startCursor() {
  addMark(cross);
  let name = state.place?.name;
  on("place", () => {
    if (state.place?.name !== name) at = null; // another case has another grid
    name = state.place?.name;
  });
  on("replaced", () => (at = null));
}
