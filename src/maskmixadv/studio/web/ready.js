// Before a training: what is missing and how to mend it, how long a preset takes, what a method does.

import * as api from "./api.js";
import { byId, element } from "./element.js";
import { allSaved } from "./save.js";
import { go, on, setTab, state } from "./state.js";
import { telling } from "./status.js";

let seconds = {};
let further = {}; // by preset: {steps, seconds} of a training that goes on from the last run
let anew = {}; // by method: why it begins anew all the same
let renamed = []; // classes that the last run knows by other names

/** About how long, in words: seconds, minutes, hours or days. */
export function about(time) {
  if (time < 60) return `${10 * Math.max(1, Math.round(time / 10))} seconds`;
  const [value, unit] = time < 5400 ? [time / 60, "minute"] : time < 2 * 86400 ? [time / 3600, "hour"] : [time / 86400, "day"];
  const whole = Math.max(1, Math.round(value));
  return `${whole} ${unit}${whole === 1 ? "" : "s"}`;
}

function item({ what, mend, case: name, slice }) {
  const show = () => {
    setTab("draw");
    go(name, slice);
  };
  const button = name && element("button", { type: "button", class: "quiet", onclick: show }, "Show");
  return element("li", {}, element("b", {}, what), ` ${mend} `, button || null);
}

async function ask() {
  if (state.tab !== "train" || !state.folder) return;
  await allSaved();
  const { wants, ...times } = await api.getReady();
  ({ seconds, further, anew, renamed } = times);
  byId("wants").replaceChildren(...wants.map(item));
  showNotes();
}

function showNotes() {
  const { value } = byId("preset");
  const preset = value !== "auto" ? value : Object.keys(seconds).length ? "cpu" : "fast";
  const steps = byId("steps").value;
  const wanted = byId("goes-on").checked && state.folder?.run;
  const why = wanted ? anew[byId("method").value] : undefined;
  const goesOn = wanted && !why && further[preset];
  const time = goesOn ? goesOn.seconds : seconds[preset];
  const note = byId("preset-note");
  const long = time && !steps ? `about ${about(time)}` : "";
  const lines = [
    why && `Begins anew: ${why}.`,
    goesOn && `Goes on from run ${state.folder.run.name}: ${steps || goesOn.steps} steps${long && `, ${long}`}.`,
    goesOn && renamed.length && `${renamed.join(", ")}.`,
    !goesOn && long && `${long[0].toUpperCase()}${long.slice(1)} on this computer, which seems to have no GPU.`,
  ];
  note.textContent = lines.filter(Boolean).join(" ");
  note.classList.toggle("warning", time > 86400);
  byId("steps").placeholder = goesOn ? goesOn.steps : "as the preset";
  const method = (state.folder?.methods ?? []).find(({ name }) => name === byId("method").value);
  byId("method-note").textContent = method?.about ?? "";
}

export function startReady() {
  for (const event of ["tab", "folder", "scribbled"]) on(event, telling(ask));
  for (const id of ["preset", "method", "steps", "goes-on"]) byId(id).addEventListener("input", showNotes);
}
