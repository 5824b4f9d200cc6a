// Review's panel of masks: painting on and off, its tools, and what a case's dense slices are for.

import * as api from "./api.js";
import { byId, enable } from "./element.js";
import * as draw from "./hand.js";
import { beginFrom, closePolygon, discard, keepAsIs, polygonIsOpen, startPaint } from "./paint.js";
import { active, isCorrected, painting, range, setMasks, setPainting, setRange, showsGiven } from "./painting.js";
import { forgetUnpainted } from "./slices.js";
import { on, setOverlay, setTab, setTool, shown, state } from "./state.js";
import { say, telling } from "./status.js";

const BRUSH = 8; // pixels, at first
let otherSize = BRUSH; // of the brush in the mode that is off

/** Painting on and off. It is done in Review, and ends where one leaves it. */
export function toggle() {
  draw.penUp();
  if (!painting.on) setTab("review");
  const { size } = state.tool;
  setTool({ size: otherSize, erasing: false });
  otherSize = size;
  setPainting({ on: !painting.on });
  if (painting.on) setOverlay({ shown: true });
}

/** @param {"brush"|"polygon"|"fill"} tool */
export function use(tool) {
  if (!active()) toggle();
  draw.penCancel();
  setPainting({ tool });
}

/** The polygon; if one is open, it is closed. */
export const polygon = () => (active() && polygonIsOpen() ? closePolygon() : use("polygon"));

export function toggleRange() {
  if (!shown()) return;
  if (!active()) toggle();
  if (painting.ranged) setRange(null);
  else setPainting({ ranged: true });
}

const setUse = telling(async (use) => {
  const one = shown();
  setMasks(one.name, await api.putUse(one.name, use));
});

function showTools() {
  byId("paint").setAttribute("aria-pressed", String(active()));
  byId("mask-tools").hidden = !active();
  for (const button of document.querySelectorAll("[data-paint]")) {
    button.setAttribute("aria-pressed", String(button.dataset.paint === painting.tool));
  }
  byId("sparing").checked = painting.sparing;
  const ends = range();
  byId("in-range").checked = painting.ranged;
  byId("range").hidden = !ends;
  for (const end of ["low", "high"]) {
    const field = byId(`range-${end}`);
    if (ends && field !== document.activeElement) field.value = ends[end];
  }
}

function showMask() {
  const one = shown();
  if (!one) return;
  const corrected = isCorrected();
  const shows = showsGiven(one) ? "the mask that came with the folder" : one.predicted ? "the prediction" : "an empty slice";
  byId("mask-state").textContent = corrected
    ? "Painted here. It counts, and its strokes do not."
    : `Painting begins with ${shows}.`;
  if (!corrected && document.activeElement === byId("discard")) byId("paint").focus(); // which a hidden one would lose
  byId("discard").hidden = !corrected;
  byId("given-field").hidden = !(one.masks.given && one.predicted);
  byId("given").checked = state.overlay.given;
  enable(document.querySelector("[data-begin=prediction]"), one.predicted);
  enable(document.querySelector("[data-begin=given]"), one.masks.given);
  byId("use").value = one.masks.use;
  byId("use").options[0].textContent = one.masks.given && !one.scribbled.length ? "validates, by its given mask" : "teaches, as usual";
}

export function startMasks() {
  startPaint();
  byId("paint").addEventListener("click", toggle);
  byId("discard").addEventListener("click", () => {
    discard();
    say("The painted mask is discarded.");
  });
  byId("keep-mask").addEventListener("click", telling(keepAsIs));
  byId("sparing").addEventListener("change", ({ target }) => setPainting({ sparing: target.checked }));
  byId("in-range").addEventListener("change", toggleRange);
  for (const button of document.querySelectorAll("[data-paint]")) {
    button.addEventListener("click", () => use(button.dataset.paint));
  }
  for (const button of document.querySelectorAll("[data-begin]")) {
    button.addEventListener("click", telling(() => beginFrom(button.dataset.begin)));
  }
  for (const end of ["low", "high"]) {
    byId(`range-${end}`).addEventListener("input", ({ target }) => {
      if (range() && Number.isFinite(target.valueAsNumber)) setRange({ [end]: target.valueAsNumber });
    });
  }
  byId("use").addEventListener("change", ({ target }) => setUse(target.value));
  byId("given").addEventListener("change", ({ target }) => {
    setOverlay({ given: target.checked });
    forgetUnpainted();
    showMask();
  });
  for (const event of ["painting", "place", "channel", "window"]) on(event, showTools);
  on("tab", () => painting.on && state.tab !== "review" && toggle());
  for (const event of ["place", "folder", "masked", "scribbled", "trained", "overlay"]) on(event, showMask);
  showTools();
}
