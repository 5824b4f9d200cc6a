// Mouse, pen and fingers on the viewer: draw, pan, zoom, window, scroll.

import * as draw from "./hand.js";
import { classes, on, scroll, state } from "./state.js";
import { addMark, canvas, labelsAt, pan, penWidth, redraw, toArray, zoom } from "./view.js";
import * as grey from "./window.js";
import { byId } from "./element.js";

const NOTCH = 40; // of the wheel, a slice
const WHEEL_ZOOM = 0.0022; // a unit of the wheel

const fingers = new Map(); // pointerId -> [x, y]
let mode = null; // "draw", "pan", "window", "pinch"
let holder = null; // pointerId of what draws, pans or windows
let near = false; // a pen is above the slice, or on it
let last = [0, 0];
let hover = null;
let space = false;
let wheel = 0;

export const holdSpace = (held) => {
  space = held;
  canvas.classList.toggle("panning", held);
};

function modeOf(event) {
  if (event.button === 1 || (event.button === 0 && space)) return "pan";
  if (event.button === 2) return "window";
  return event.button === 0 || event.button === 5 ? "draw" : null;
}

/** A hand rests on the slice beside the pen, or a finger comes to a mouse's drag, or to two fingers. */
const rests = ({ pointerType }) => pointerType === "touch" && (near || (mode !== null && !fingers.size) || fingers.size >= 2);

function down(event) {
  canvas.focus({ preventScroll: true });
  if (!state.place) return;
  event.preventDefault();
  if (event.pointerType === "pen") near = true;
  if (rests(event)) return;
  canvas.setPointerCapture(event.pointerId);
  const touches = event.pointerType === "touch";
  if (!touches && fingers.size) letGo(); // the hand came down before the pen
  last = [event.clientX, event.clientY];
  holder = event.pointerId;
  if (touches) fingers.set(event.pointerId, last);
  mode = fingers.size === 2 ? pinchBegins() : mode === "pinch" ? mode : modeOf(event);
  if (mode !== "draw") return;
  const erasing = state.tool.erasing || event.button === 5; // 5: a pen's eraser end
  if (!draw.penDown(...toArray(...last), { erasing })) mode = null;
}

/** The second finger shows that the first one was not meant to draw. */
function pinchBegins() {
  draw.penCancel();
  return "pinch";
}

/** What fingers have begun is nothing: they draw and move no more until they come down again. */
function letGo() {
  if (mode === "draw") draw.penCancel();
  fingers.clear();
  mode = null;
}

function move(event) {
  const now = [event.clientX, event.clientY];
  if (event.pointerType === "pen") near = true;
  if (event.pointerType !== "touch") hover = now;
  else if (fingers.has(event.pointerId)) hover = null;
  if (mode === "pinch" && fingers.has(event.pointerId)) pinch(event.pointerId, now);
  if (mode === null || event.pointerId === holder) {
    if (mode === "draw") for (const [x, y] of between(event)) draw.penTo(...toArray(x, y));
    else if (mode === "pan") pan(now[0] - last[0], now[1] - last[1]);
    else if (mode === "window") dragWindow(now[0] - last[0], now[1] - last[1]);
    last = now;
  }
  tell();
  redraw();
}

const between = (event) => {
  const all = event.getCoalescedEvents?.() ?? [];
  return (all.length ? all : [event]).map(({ clientX, clientY }) => [clientX, clientY]);
};

function pinch(id, now) {
  if (fingers.size < 2) return; // one of the two is up already
  const [before, after] = [spread(), (fingers.set(id, now), spread())];
  const box = canvas.getBoundingClientRect();
  pan(after.x - before.x, after.y - before.y);
  if (before.apart) zoom(after.apart / before.apart, after.x - box.left, after.y - box.top);
}

function spread() {
  const [[ax, ay], [bx, by]] = [...fingers.values()];
  return { x: (ax + bx) / 2, y: (ay + by) / 2, apart: Math.hypot(ax - bx, ay - by) };
}

/** Sideways for the width, upwards for brightness, as radiology's viewers have it. */
function dragWindow(dx, dy) {
  const { level, width } = grey.levels();
  grey.setLevels({ width: width * Math.exp(dx / 250), level: level + (dy * width) / 400 });
}

function up(event) {
  fingers.delete(event.pointerId);
  if (mode === "pinch") {
    if (!fingers.size) mode = null;
  } else if (event.pointerId === holder) {
    if (mode === "draw") draw.penUp();
    mode = null;
  }
}

function cancel(event) {
  if (event.pointerType === "pen") near = false;
  if (mode === "draw" && event.pointerId === holder) draw.penCancel();
  up(event);
}

function turn(event) {
  event.preventDefault();
  const box = canvas.getBoundingClientRect();
  if (event.ctrlKey || event.metaKey) {
    zoom(Math.exp(-event.deltaY * WHEEL_ZOOM), event.clientX - box.left, event.clientY - box.top);
    return;
  }
  wheel += event.deltaMode ? event.deltaY * NOTCH : event.deltaY;
  const slices = Math.trunc(wheel / NOTCH);
  // A mouse's notch is more than NOTCH: it is one slice all the same.
  if (!slices) return;
  wheel = 0;
  scroll(Math.sign(slices));
}

/** The corner's text: what lies under the pointer. */
function tell() {
  const under = hover && state.place && labelsAt(...toArray(...hover));
  const name = (code) => (code === null ? null : (classes()[code]?.name ?? "ignore"));
  const parts = under ? [`row ${under.row}, column ${under.column}`] : [];
  if (under && under.scribble !== null) parts.push(`drawn ${name(under.scribble)}`);
  if (under && under.prediction !== null) parts.push(`${under.kind} ${name(under.prediction)}`);
  byId("under").textContent = parts.join(" · ");
}

function ring(context) {
  if (!hover || mode === "pan" || mode === "window" || space) return;
  const box = canvas.getBoundingClientRect();
  const { code, erasing } = state.tool;
  context.beginPath();
  context.arc(hover[0] - box.left, hover[1] - box.top, Math.max(2, penWidth() / 2), 0, 2 * Math.PI);
  for (const [width, style] of [
    [3, "rgb(0 0 0 / 60%)"],
    [1.5, (erasing ? null : classes()[code]?.colour) ?? "#ffffff"],
  ]) {
    Object.assign(context, { lineWidth: width, strokeStyle: style });
    context.stroke();
  }
}

export function startPointer() {
  addMark(ring);
  const heed = { pointerdown: down, pointermove: move, pointerup: up, pointercancel: cancel };
  for (const [event, act] of Object.entries(heed)) canvas.addEventListener(event, act);
  // Under a pointer that rests there is another slice, or other labels.
  for (const event of ["place", "arrays", "pixels", "painted", "masked", "overlay"]) on(event, tell);
  canvas.addEventListener("wheel", turn, { passive: false });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerleave", ({ pointerType }) => {
    if (pointerType === "pen") near = false;
    if (pointerType === "touch") return;
    hover = null;
    tell();
    redraw();
  });
}
