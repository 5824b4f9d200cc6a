// Cine: the phases of a patient at one slice in turn, or the slices where there is one phase only.

import { byId } from "./element.js";
import { cases, go, on, shown, state } from "./state.js";

const FRAMES = 8; // a second
const PHASE = /[_-](ED|ES|(?:frame|phase|time|t)?\d+)$/i;
let timer = null;

export const patientOf = (name) => name.replace(PHASE, "");

/** Cases that differ from the shown one by their phase alone, in order. */
function phases() {
  const same = (one) => patientOf(one.name) === patientOf(shown().name) && one.shape.join() === shown().shape.join();
  return cases().filter(same);
}

function advance() {
  if (!shown()) return;
  const { name, z } = state.place;
  const all = phases();
  if (all.length > 1) go(all[(all.findIndex((one) => one.name === name) + 1) % all.length].name, z);
  else go(name, (z + 1) % shown().shape[0]);
}

export function toggleCine() {
  const playing = timer !== null;
  if (playing) clearInterval(timer);
  timer = playing || !shown() ? null : setInterval(advance, 1000 / (phases().length === 2 ? 2 : FRAMES));
  byId("cine").setAttribute("aria-pressed", String(timer !== null));
}

export function stopCine() {
  if (timer !== null) toggleCine();
}

export function startCine() {
  byId("cine").addEventListener("click", toggleCine);
  byId("canvas").addEventListener("pointerdown", stopCine);
  on("tab", stopCine);
}
