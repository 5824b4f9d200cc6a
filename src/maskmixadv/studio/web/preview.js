// Previews: while a training runs, the shown slice as its network sees it by now.

import * as api from "./api.js";
import { byId } from "./element.js";
import { emit, keyOf, on, shown, state } from "./state.js";

const EVERY = 1500; // ms between two questions

let preview = null; // {key, labels, step}
let running = null; // the course of the training that runs
let asked = -Infinity;
let drawn = null; // the labels that are drawn

/** Verdicts are on the prediction, so Review goes on showing it. */
const judged = () => state.tab === "review" && shown()?.predicted;

/** The shown slice's labels; null where no training runs, it has not looked here yet, or a prediction is judged. */
export const shownPreview = () =>
  running && state.place && !judged() && preview?.key === keyOf(state.place) ? preview.labels : null;

async function ask() {
  if (!running || !state.place || performance.now() - asked < EVERY) return;
  asked = performance.now();
  const place = state.place;
  try {
    const found = await api.getPreview(place.name, place.z);
    const [before, key] = [preview, keyOf(place)];
    const same = found && before?.key === key && before.step === found.step;
    const [, h, w] = shown()?.shape ?? [];
    if (found && !same && running && place === state.place && found.labels.length === h * w) preview = { key, ...found };
  } catch {
    // the training's own state tells of a server that is away
  }
  show();
}

function show() {
  const labels = shownPreview();
  byId("preview").hidden = labels === null;
  if (labels) byId("preview").textContent = `preview of run ${running.run} at step ${preview.step}`;
  if (labels === drawn) return; // each drawing takes time from the training
  drawn = labels;
  emit("proposed");
}

export function startPreview() {
  on("training", (course) => {
    running = course.state === "running" ? course : null;
    if (!running) preview = null;
    ask();
    show();
  });
  on("tab", show);
  on("place", () => {
    asked = -Infinity;
    ask();
    show();
  });
}
