// The strip beside the viewer: one mark a slice, with what was done on it; a slider for mouse and keyboard.

import { clear, onDensity } from "./density.js";
import { byId } from "./element.js";
import { isCorrected } from "./painting.js";
import { go, on, shown, state } from "./state.js";

const canvas = byId("strip");
const COLOURS = { scribbled: "#9fb6d4", accepted: "#46c28e", rejected: "#ff7a6b", corrected: "#c58bff" };

const box = (z, depth) => {
  const height = canvas.clientHeight / depth;
  return [z * height, Math.max(height - (height > 4 ? 2 : 0), 1)];
};

function draw() {
  const one = shown();
  const context = canvas.getContext("2d");
  clear(canvas);
  if (!one) return;
  const others = [...Array(one.shape[0]).keys()].filter((z) => z !== state.place.z);
  // Where a slice has less than a pixel, slices overlap: what is marked, and the shown one, comes on top.
  for (const draws of [drawGround, drawMarks]) for (const z of [...others, state.place.z]) draws(context, one, z);
  tell(one);
}

function drawGround(context, one, z) {
  const [top, height] = box(z, one.shape[0]);
  context.fillStyle = z === state.place.z ? "#4b5563" : "#1f252d";
  context.fillRect(0, top, canvas.clientWidth, height);
}

function drawMarks(context, one, z) {
  const [top, height] = box(z, one.shape[0]);
  const width = canvas.clientWidth;
  const verdict = verdictOn(one, z);
  if (one.scribbled.includes(z)) mark(context, COLOURS.scribbled, 3, top, height);
  if (verdict) mark(context, COLOURS[verdict], width - 9, top, height);
  if (height >= 12) label(context, z, top + height / 2);
  if (z !== state.place.z) return;
  context.strokeStyle = "#dfe7f1";
  context.strokeRect(0.5, top + 0.5, width - 1, Math.max(height - 1, 1));
}

const verdictOn = (one, z) => (isCorrected({ name: one.name, z }) ? "corrected" : one.reviews[z]);

function mark(context, colour, left, top, height) {
  context.fillStyle = colour;
  context.fillRect(left, top + Math.min(3, height / 4), 6, Math.max(1, height - Math.min(6, height / 2)));
}

function label(context, z, middle) {
  context.fillStyle = z === state.place.z ? "#ffffff" : "#8b97a7";
  context.font = "11px sans-serif";
  Object.assign(context, { textAlign: "center", textBaseline: "middle" });
  context.fillText(String(z + 1), canvas.clientWidth / 2, middle);
}

function tell(one) {
  const { z } = state.place;
  canvas.setAttribute("aria-valuemax", String(one.shape[0]));
  canvas.setAttribute("aria-valuenow", String(z + 1));
  const done = [one.scribbled.includes(z) ? "scribbled" : null, verdictOn(one, z) ?? null].filter(Boolean);
  canvas.setAttribute("aria-valuetext", [`slice ${z + 1} of ${one.shape[0]}`, ...done].join(", "));
}

function pick(event) {
  if (!shown() || !(event.buttons & 1)) return;
  const top = canvas.getBoundingClientRect().top;
  go(state.place.name, Math.floor(((event.clientY - top) / canvas.clientHeight) * shown().shape[0]));
}

export function startStrip() {
  new ResizeObserver(draw).observe(canvas);
  onDensity(draw);
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pick(event);
  });
  canvas.addEventListener("pointermove", pick);
  for (const event of ["place", "folder", "scribbled", "reviewed", "masked"]) on(event, draw);
}
