// Two more views beside the slice, across the slices, with one cross in all three. Strokes are drawn on slices alone.

import * as api from "./api.js";
import { cursorAt, dropCursor, placeCursor } from "./cursor.js";
import { clear, onDensity } from "./density.js";
import { byId } from "./element.js";
import { imageLayer } from "./layers.js";
import { channelOf, go, on, shown, state } from "./state.js";
import { telling } from "./status.js";
import { canvas as main, toArray } from "./view.js";
import * as grey from "./window.js";

const VERTICAL = { H: 2, F: 2, A: 1, P: 1, R: 0, L: 0 }; // what stands upright: head to feet, else front to back
const FIRST = "HAR"; // what lies above, or on the left

/**
 * How a plane of axes 0 (slices) and `axis` (1: rows, 2: columns) lies on the screen, as radiologists are used to.
 * @returns {{rows: number, columns: number, flipped: [boolean, boolean], sides: string[]}} axes; top, bottom, left, right
 */
export function arranged(edges, axis) {
  if (!edges) return { rows: 0, columns: axis, flipped: [false, false], sides: ["", "", "", ""] };
  const first = (one) => edges[one][0][0];
  const [rows, columns] = VERTICAL[first(0)] >= VERTICAL[first(axis)] ? [0, axis] : [axis, 0];
  const flipped = [rows, columns].map((one) => !FIRST.includes(first(one)));
  const ends = (one, back) => (back ? [...edges[one]].reverse() : edges[one]);
  return { rows, columns, flipped, sides: [...ends(rows, flipped[0]), ...ends(columns, flipped[1])] };
}

const panels = [1, 2].map((axis) => ({ fixed: axis, free: 3 - axis, canvas: byId(`across-${axis}`), wanted: null, plane: null, request: null }));
let open = false;

/** Where the cross is, by axis: slice, row, column. */
function cross() {
  const [x, y] = cursorAt();
  return [state.place.z, Math.floor(y), Math.floor(x)];
}

async function ask(panel) {
  const one = shown();
  const { index: channel } = channelOf(one);
  const wanted = [one.name, panel.fixed, cross()[panel.fixed], channel, one.changed].join("/");
  if (panel.wanted === wanted) return;
  panel.request?.abort();
  Object.assign(panel, { wanted, request: new AbortController() });
  try {
    const plane = await api.getAcross(one.name, panel.fixed, cross()[panel.fixed], channel, panel.request.signal);
    if (panel.wanted === wanted) Object.assign(panel, { plane, of: one });
    draw(panel);
  } catch (error) {
    if (error.name === "AbortError") return;
    panel.plane = null;
    throw error;
  }
}

/** Scale and corner of a panel's picture: pixels of both axes, in their true proportion. */
function placed({ canvas, of, free }) {
  const how = arranged(of.edges, free);
  const long = (axis) => of.shape[axis] * (of.spacing?.[axis] ?? 1);
  const [height, width] = [long(how.rows), long(how.columns)];
  const scale = Math.min(canvas.clientWidth / width, canvas.clientHeight / height);
  const size = [height * scale, width * scale];
  return { ...how, size, corner: [(canvas.clientHeight - size[0]) / 2, (canvas.clientWidth - size[1]) / 2] };
}

function draw(panel) {
  const { canvas, plane, of, free } = panel;
  clear(canvas);
  if (!plane || of.name !== shown()?.name || !grey.bounds()) return;
  const context = canvas.getContext("2d");
  const { rows, flipped, size, corner, sides } = placed(panel);
  const made = imageLayer(plane, [of.shape[0], of.shape[free]], grey.table(), of.coloured);
  context.save();
  context.translate(corner[1] + (flipped[1] ? size[1] : 0), corner[0] + (flipped[0] ? size[0] : 0));
  context.scale((flipped[1] ? -1 : 1) * size[1], (flipped[0] ? -1 : 1) * size[0]);
  if (rows !== 0) context.transform(0, 1, 1, 0, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(made, 0, 0, 1, 1);
  context.restore();
  drawCross(context, panel);
  drawSides(context, canvas, sides);
}

function drawCross(context, panel) {
  const { rows, columns, flipped, size, corner } = placed(panel);
  const at = [rows, columns].map((axis, place) => {
    const part = (cross()[axis] + 0.5) / panel.of.shape[axis];
    return corner[place] + (flipped[place] ? 1 - part : part) * size[place];
  });
  context.beginPath();
  context.moveTo(corner[1], at[0]);
  context.lineTo(corner[1] + size[1], at[0]);
  context.moveTo(at[1], corner[0]);
  context.lineTo(at[1], corner[0] + size[0]);
  Object.assign(context, { strokeStyle: "rgb(255 214 90 / 85%)", lineWidth: 1 });
  context.stroke();
}

function drawSides(context, { clientWidth: width, clientHeight: height }, [top, bottom, left, right]) {
  context.save();
  Object.assign(context, { font: "600 12px sans-serif", fillStyle: "#fff", textAlign: "center", textBaseline: "middle" });
  Object.assign(context, { shadowColor: "#000", shadowBlur: 4 });
  for (const [text, x, y] of [[top, width / 2, 9], [bottom, width / 2, height - 9], [left, 11, height / 2], [right, width - 11, height / 2]]) {
    context.fillText(text, x, y);
  }
  context.restore();
}

function pick(event) {
  const panel = panels.find(({ canvas }) => canvas === event.target);
  if (!panel?.plane || !(event.buttons & 1)) return;
  const { rows, columns, flipped, size, corner } = placed(panel);
  const box = panel.canvas.getBoundingClientRect();
  const found = cross();
  [[rows, event.clientY - box.top], [columns, event.clientX - box.left]].forEach(([axis, at], place) => {
    const part = Math.min(Math.max((at - corner[place]) / size[place], 0), 0.9999);
    found[axis] = Math.floor((flipped[place] ? 1 - part : part) * panel.of.shape[axis]);
  });
  go(state.place.name, Math.min(found[0], panel.of.shape[0] - 1));
  placeCursor(found[2], found[1]);
}

const show = telling(async () => {
  if (!open || !shown()) return;
  panels.forEach(draw);
  await Promise.all(panels.map(ask));
});

export function toggleAcross() {
  open = !open;
  byId("viewer").classList.toggle("across", open);
  byId("across").hidden = !open;
  byId("across-toggle").setAttribute("aria-pressed", String(open));
  if (open && state.place) placeCursor(...cursorAt());
  else dropCursor();
  show();
}

export function startAcross() {
  byId("across-toggle").addEventListener("click", toggleAcross);
  for (const event of ["place", "folder", "channel", "cross", "window"]) on(event, show);
  onDensity(show);
  for (const { canvas } of panels) {
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pick(event);
    });
    canvas.addEventListener("pointermove", pick);
    new ResizeObserver(show).observe(canvas);
  }
  // Before the pen's own listener: a click with Alt moves the cross and draws nothing.
  main.addEventListener(
    "pointerdown",
    (event) => {
      if (!event.altKey || event.button !== 0 || !state.place) return;
      event.stopImmediatePropagation();
      placeCursor(...toArray(event.clientX, event.clientY));
    },
    { capture: true },
  );
}
