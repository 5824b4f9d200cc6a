// Before a training: what is missing and how to mend it, how long a preset takes, what a method does.

import * as api from "./api.js";
import { byId, element } from "./element.js";
import { allSaved } from "./save.js";
import { go, on, setTab, state } from "./state.js";
import { telling } from "./status.js";

let seconds = {};

/** About how long, in words: minutes, hours or days. */
export function about(time) {
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
  const { wants, seconds: times } = await api.getReady();
  seconds = times;
  byId("wants").replaceChildren(...wants.map(item));
  showNotes();
}

function showNotes() {
  const preset = byId("preset").value;
  const time = seconds[preset === "auto" ? "cpu" : preset];
  const steps = byId("steps").value;
  const note = byId("preset-note");
  note.textContent = time && !steps ? `About ${about(time)} on this computer, which seems to have no GPU.` : "";
  note.classList.toggle("warning", time > 86400);
  const method = (state.folder?.methods ?? []).find(({ name }) => name === byId("method").value);
  byId("method-note").textContent = method?.about ?? "";
}

export function startReady() {
  for (const event of ["tab", "folder", "scribbled"]) on(event, telling(ask));
  for (const id of ["preset", "method", "steps"]) byId(id).addEventListener("input", showNotes);
}
