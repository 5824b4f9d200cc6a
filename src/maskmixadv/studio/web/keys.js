// Every key the page knows: what it does, and the help's list of them.

import { toggleAcross } from "./across.js";
import { toggleCine, stopCine } from "./cine.js";
import { autoWindow } from "./corners.js";
import { dropCursor, moveCursor, togglePen } from "./cursor.js";
import * as draw from "./hand.js";
import { byId, element } from "./element.js";
import { toggleStrokes } from "./hiding.js";
import { acceptProposal, fillBetween, shapesBetween, toggleProposal, turnAway } from "./instant.js";
import * as masks from "./masks.js";
import { erase, pick, resize } from "./palette.js";
import { holdSpace } from "./pointer.js";
import { next } from "./queue.js";
import * as review from "./review.js";
import { nextCase, nextChannel, scroll, setTool, state } from "./state.js";
import { toggleTheme } from "./theme.js";
import { fit, pan, zoom } from "./view.js";

const FAR = 5; // pixels of a large step of the keyboard's pen
const PAN = 40; // px

const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
const arrows = (prefix, act) =>
  Object.fromEntries(Object.entries(ARROWS).map(([key, way]) => [prefix + key, () => act(...way)]));
const digits = Object.fromEntries(Array.from({ length: 10 }, (_, code) => [String(code), () => pick(code)]));

/** Groups of [how the keys are written, what they do, what each of them calls]. */
const KEYS = {
  Draw: [
    ["1 … 9", "draw this structure", digits],
    ["0", "draw background: a loop round what you look for", {}],
    ["E", "eraser on and off", { e: erase }],
    ["[  ]", "smaller, larger brush", { "[": () => resize(-1), "]": () => resize(1) }],
    ["L", "close background strokes to a loop, on and off", { l: () => setTool({ closing: !state.tool.closing }) }],
    ["Ctrl Z", "undo", { "ctrl+z": draw.undo }],
    ["Ctrl Shift Z", "redo", { "ctrl+shift+z": draw.redo, "ctrl+y": draw.redo }],
    ["D", "take the strokes along to the next slice", { d: draw.copyToNext }],
  ],
  "Draw without a mouse": [
    ["Shift arrows", "move the cross by a pixel", arrows("shift+", moveCursor)],
    ["Ctrl Shift arrows", `by ${FAR} pixels`, arrows("ctrl+shift+", (x, y) => moveCursor(FAR * x, FAR * y))],
    ["Enter", "pen down, and up again at the stroke's end", { Enter: togglePen }],
    ["Esc", "give the stroke up", { Escape: dropCursor }],
  ],
  Look: [
    ["Wheel, ↑ ↓ ← →", "slices", arrows("", (x, y) => scroll(x + y))],
    ["Page ↑  Page ↓", "cases", { PageUp: () => nextCase(-1), PageDown: () => nextCase(1) }],
    ["Ctrl wheel, + −", "zoom", { "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8) }],
    ["F", "fit the slice", { f: fit }],
    ["Space or middle drag", "pan", {}],
    ["Ctrl arrows", "pan", arrows("ctrl+", (x, y) => pan(-PAN * x, -PAN * y))],
    ["Right drag", "window (sideways) and level (up, down)", {}],
    ["W", "window from the slice; pictures in colour as they are", { w: autoWindow }],
    ["G", "next channel, of images that have several", { g: nextChannel }],
    ["V", "two more views across the slices, with one cross; click in them, or Alt and click in the slice", { v: toggleAcross }],
    ["Z", "strokes on and off", { z: toggleStrokes }],
    ["C", "cine through the phases, or the slices", { c: toggleCine }],
    ["Two fingers", "zoom and pan", {}],
  ],
  Review: [
    ["I", "proposal on and off: what the strokes say at once", { i: toggleProposal }],
    ["J", "fill the slices between those with strokes", { j: fillBetween }],
    [".", "shapes between slices on which structures are drawn, painted or accepted", { ".": shapesBetween }],
    ["U", "accept the slice's proposal as its mask", { u: acceptProposal }],
    ["Q", "turn the slice's proposal away", { q: turnAway }],
    ["O", "prediction, or the mask that is shown, on and off", { o: review.toggleOverlay }],
    ["K", "its outline on and off", { k: review.toggleContour }],
    ["M", "map of disagreement on and off", { m: review.toggleDisagreement }],
    ["A", "accept the slice", { a: review.accept }],
    ["X", "fix: take the verdict back and draw", { x: review.fix }],
    ["R", "reject the slice", { r: review.reject }],
    ["N", "next proposed slice", { n: next }],
  ],
  "Paint on the mask": [
    ["P", "paint on the slice's mask, on and off", { p: masks.toggle }],
    ["B", "brush", { b: () => masks.use("brush") }],
    ["S", "polygon; again: close it", { s: masks.polygon }],
    ["H", "fill what lies under the pointer", { h: () => masks.use("fill") }],
    ["Y", "paint only intensities in a range, on and off", { y: masks.toggleRange }],
  ],
  Page: [
    ["T", "light or dark", { t: toggleTheme }],
    ["?", "this help", { "?": () => byId("help").showModal() }],
  ],
};

const acts = Object.assign({}, ...Object.values(KEYS).flatMap((group) => group.map(([, , calls]) => calls)));

/** Many keyboards have brackets with AltGr, which some systems tell as Alt, or as Ctrl and Alt. */
const isBracket = ({ altKey, key }) => altKey && (key === "[" || key === "]");

/** As `acts` names it: modifiers, then the key; letters and signs as they are typed. */
function named(event) {
  if (isBracket(event)) return event.key;
  const letter = event.key.length === 1;
  const ctrl = event.ctrlKey || event.metaKey ? "ctrl+" : "";
  const shift = event.shiftKey && (!letter || ctrl) ? "shift+" : "";
  return ctrl + shift + (letter ? event.key.toLowerCase() : event.key);
}

/** Keys that the focused element wants for itself. */
function taken(target, name) {
  if (document.querySelector("dialog[open]") || target.matches("input[type=text], input[type=search], input[type=number], select")) return true;
  if (target.matches("input[type=range]") && /^(Arrow|Page)/.test(name)) return true;
  return (name === "Enter" || name === " ") && target.matches("button, input, summary, a");
}

function down(event) {
  if ((event.altKey && !isBracket(event)) || taken(event.target, named(event))) return;
  if (event.key === " ") {
    event.preventDefault();
    holdSpace(true);
    return;
  }
  const act = acts[named(event)];
  if (!act) return;
  event.preventDefault();
  if (event.key !== "c") stopCine();
  act();
}

function showHelp() {
  const line = ([keys, text]) => [element("dt", {}, element("kbd", {}, keys)), element("dd", {}, text)];
  const group = ([title, lines]) =>
    element("section", {}, element("h3", {}, title), element("dl", {}, ...lines.flatMap(line)));
  byId("help-keys").replaceChildren(...Object.entries(KEYS).map(group));
}

export function startKeys() {
  showHelp();
  addEventListener("keydown", down);
  addEventListener("keyup", (event) => event.key === " " && holdSpace(false));
  addEventListener("blur", () => holdSpace(false));
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("help-close").addEventListener("click", () => byId("help").close());
}
