// Training: start it, watch its curves, stop it.

import * as api from "./api.js";
import { chart } from "./chart.js";
import { byId, element } from "./element.js";
import { refresh } from "./folder.js";
import { isAtWork } from "./hand.js";
import { allSaved } from "./save.js";
import { cases, emit, on, setTab, state } from "./state.js";
import { say, telling } from "./status.js";

const EVERY = 1000; // ms
const SAYS = {
  idle: "Nothing has been trained yet.",
  running: "Training",
  predicting: "Predicting all cases …",
  done: "Done: predictions are there.",
  stopped: "Stopped; what was learnt is kept.",
  failed: "Failed",
};
let known = null; // the latest answer
let timer = null;

const busy = () => known?.state === "running" || known?.state === "predicting";

async function start(event) {
  event.preventDefault();
  if (busy()) return;
  await allSaved();
  const steps = byId("steps").valueAsNumber;
  try {
    known = await api.startTraining({
      preset: byId("preset").value,
      method: byId("method").value,
      steps: Number.isNaN(steps) ? null : steps,
      // Also where the box is still disabled: the folder may not tell of a run yet that has just ended.
      goes_on: byId("goes-on").checked,
    });
  } finally {
    await watch(); // where it is refused, another page may have begun one
  }
}

async function watch() {
  clearTimeout(timer);
  const wasBusy = busy();
  try {
    known = await api.getTraining();
    emit("training", known);
    show();
    if (wasBusy && !busy()) await ended();
  } finally {
    if (busy()) timer = setTimeout(telling(watch), EVERY);
  }
}

async function ended() {
  if (known.state === "failed") return say(known.error ?? "the training failed", "trouble");
  await refresh();
  if (state.folder.run?.name !== known.run) return say(`Run ${known.run} has ended, and predicts nothing.`);
  say(`Run ${known.run}: predictions are there. A accepts, R rejects, a stroke corrects.`);
  // Another tab ends a stroke, and so does its own: whoever draws goes to Review when it suits.
  if (cases().some((one) => one.predicted) && !isAtWork()) setTab("review");
  return undefined;
}

function show() {
  const { state: is, run, step, steps, error, left_out: leftOut = [] } = known;
  byId("train-state").dataset.state = is;
  byId("train-state").textContent = is === "failed" && error ? `Failed: ${error}` : sentence();
  byId("train-progress").hidden = is === "idle";
  byId("train-progress").max = steps || 1;
  byId("train-progress").value = is === "done" || is === "predicting" ? steps || 1 : (step ?? 0);
  const without = leftOut.length ? `, without ${leftOut.join("; ")}` : "";
  const odds = known.odds ? `. Its borders follow the masks that validate (odds of classes: ${known.odds})` : "";
  byId("train-run").textContent = run ? `run ${run}${goesOn()}${learnsFrom()}${without}${odds}` : "";
  byId("train").ariaDisabled = String(busy()); // it keeps the keyboard's focus, which a disabled one loses
  if (!busy() && document.activeElement === byId("stop")) byId("train").focus();
  byId("stop").hidden = !busy();
  showCurves();
}

function sentence() {
  if (known.state !== "running") return SAYS[known.state] ?? known.state;
  if (!known.step) return "Starting …";
  const left = known.remaining == null ? "" : `, ${duration(known.remaining)} left`;
  return `Step ${known.step} of ${known.steps}${left}`;
}

const goesOn = () => (known.start ? `, goes on from run ${known.start}` : "");

function learnsFrom() {
  const { scribbled = 0, accepted = {}, corrected = {} } = known.learnt ?? {};
  const count = Object.values(accepted).reduce((sum, runs) => sum + Object.keys(runs).length, 0);
  const slices = (number) => `${number} ${number === 1 ? "slice" : "slices"}`;
  const painted = Object.values(corrected).reduce((sum, all) => sum + all.length, 0);
  const parts = [
    scribbled && `${slices(scribbled)} with strokes`,
    count && `${count} accepted ${count === 1 ? "slice" : "slices"}`,
    painted && `${painted} corrected ${painted === 1 ? "slice" : "slices"}`,
  ];
  return parts.some(Boolean) ? `, learns from ${parts.filter(Boolean).join(" and ")}` : "";
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function showCurves() {
  const { losses = [], validation = [], steps } = known;
  const last = (points) => (points.length ? points.at(-1)[1].toFixed(3) : "");
  const figure = (title, points, how) =>
    element(
      "figure",
      {},
      element("figcaption", {}, title, element("span", { class: "number" }, last(points))),
      chart(points, { label: title, steps: steps || 1, ...how }),
    );
  byId("curves").replaceChildren(
    ...(losses.length ? [figure("Loss", losses, { smooth: true })] : []),
    ...(validation.length ? [figure("Validation Dice", validation, { from: 0, to: 1 })] : []),
  );
}

/** Presets and methods, as names or as {name, title}. */
function showChoices() {
  const fill = (id, choices) => {
    const chosen = byId(id).value;
    byId(id).replaceChildren(
      ...choices.map((choice) =>
        typeof choice === "string"
          ? element("option", {}, choice)
          : element("option", { value: choice.name }, choice.title ?? choice.name),
      ),
    );
    if (chosen) byId(id).value = chosen;
  };
  fill("preset", state.folder.presets ?? ["auto"]);
  fill("method", state.folder.methods ?? ["walk-teacher"]);
}

export function startTrain() {
  byId("train-form").addEventListener("submit", telling(start));
  byId("stop").addEventListener(
    "click",
    telling(async () => {
      await api.stopTraining();
      await watch();
    }),
  );
  on("folder", showChoices);
  on("folder", () => (byId("goes-on").disabled = !state.folder.run));
}

/** A training may run already: the page was closed over it, or another one started it. */
export const watchTraining = telling(watch);

/** For a page that nobody comes back to, as it is in sight all the time: whether another page has begun a training, or ended one. */
export async function glance() {
  if (!known || busy()) return; // one that runs is watched
  const { state: is, run } = await api.getTraining();
  if (busy() || (is === known.state && run === known.run)) return;
  await watch();
  if (!busy()) await refresh(); // it has ended since the last look
}
