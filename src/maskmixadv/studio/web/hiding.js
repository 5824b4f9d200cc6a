// What a person hides to see the image alone: strokes, labels, proposals. Drawing shows again what the pen draws into.

import { byId } from "./element.js";
import { on, setOverlay, state } from "./state.js";
import { say } from "./status.js";

const NAMES = { strokes: "strokes (Z)", shown: "labels (O)", proposed: "proposals (I)" };

export const toggleStrokes = () => setOverlay({ strokes: !state.overlay.strokes });

/** What is hidden, for the viewer's corner; empty where nothing is. */
export function hiddenOf(overlay) {
  const hidden = Object.keys(NAMES).filter((what) => !overlay[what]);
  return hidden.length ? `hidden: ${hidden.map((what) => NAMES[what]).join(", ")}` : "";
}

/** The pen comes down: what it draws into is to be seen. @param {"strokes" | "shown"} what */
export function showAgain(what) {
  if (state.overlay[what]) return;
  setOverlay({ [what]: true });
  say(`Shown again: ${NAMES[what]}`);
}

function show() {
  for (const box of document.querySelectorAll("[data-strokes]")) box.checked = state.overlay.strokes;
  byId("hidden").textContent = hiddenOf(state.overlay);
}

export function startHiding() {
  for (const box of document.querySelectorAll("[data-strokes]")) {
    box.addEventListener("change", () => setOverlay({ strokes: box.checked }));
  }
  on("overlay", show);
  show();
}
