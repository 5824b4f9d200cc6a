// What the page says about itself: saved or not, the budget spent, messages.

import { byId, clock, element } from "./element.js";
import { saveState, unsavedPlaces } from "./save.js";
import { arrays, whyNot } from "./slices.js";
import { cases, on, state } from "./state.js";

const SAYS = { saved: "Saved", saving: "Saving…", unsaved: "Not saved – trying again", refused: "Not saved" };
const SHOWN = 6000; // ms
let timer = null;

/** For screen readers alone. */
export const announce = (text) => (byId("announcer").textContent = text);

/** What goes wrong in a dialog is told in it, as the page behind it is out of sight. */
function tellIn(dialog, text) {
  const line = dialog.querySelector(".trouble") ?? element("p", { class: "trouble", role: "alert" });
  line.textContent = text;
  (dialog.querySelector(".row.end") ?? dialog.lastElementChild).before(line);
  dialog.addEventListener("close", () => line.remove(), { once: true });
}

/** @param {"" | "trouble"} kind */
export function say(text, kind = "") {
  const dialog = document.querySelector("dialog[open]");
  if (dialog && kind === "trouble") return tellIn(dialog, text);
  const toast = byId("toast");
  toast.textContent = text;
  toast.className = kind;
  toast.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => (toast.hidden = true), SHOWN);
  return undefined;
}

/** Tell of what went wrong in `act`, in one line. */
export const telling =
  (act) =>
  async (...args) => {
    try {
      await act(...args);
    } catch (error) {
      say(error.message, "trouble");
    }
  };

function whatIsNot() {
  const [first, ...more] = unsavedPlaces();
  if (!first) return "";
  return `: ${first.name}, slice ${first.z + 1}${more.length ? ` and ${more.length} more` : ""}`;
}

function showSaved() {
  const is = saveState();
  const saved = byId("saved");
  const text = is === "refused" || is === "unsaved" ? SAYS[is] + whatIsNot() : SAYS[is];
  if (saved.textContent === text) return;
  saved.dataset.state = is;
  saved.textContent = text;
  saved.title = text; // it may be cut off
}

function showBudget() {
  const total = cases().reduce((sum, one) => sum + one.shape[0], 0);
  const scribbled = cases().reduce((sum, one) => sum + one.scribbled.length, 0);
  const seconds = cases().reduce((sum, one) => sum + one.seconds, 0);
  byId("budget-slices").textContent = `${scribbled} of ${total} slices scribbled`;
  byId("budget-time").textContent = `${clock(seconds)} min spent`;
  byId("budget-meter").max = total || 1;
  byId("budget-meter").value = scribbled;
}

const SLOW = 250; // ms before the page says that it waits
let slow = null;

/** A large image takes a while when it is read for the first time. */
function showLoading() {
  const waits = state.place && !arrays().image && whyNot() === null;
  if (!waits) {
    clearTimeout(slow);
    slow = null;
    byId("loading").hidden = true;
  } else {
    slow ??= setTimeout(() => (byId("loading").hidden = false), SLOW);
  }
}

function showFailure() {
  const why = whyNot();
  byId("failure").hidden = why === null;
  byId("failure").textContent = why === null ? "" : `This image can't be shown: ${why}`;
}

export function startStatus() {
  for (const event of ["arrays", "folder", "place"]) {
    on(event, showFailure);
    on(event, showLoading);
  }
  on("save", showSaved);
  for (const event of ["folder", "scribbled"]) on(event, showBudget);
  on("merged", ({ name, z }) => say(`Another page has drawn on ${name}, slice ${z + 1}: both are kept.`));
  on("trouble", (error) => say(error.message, "trouble"));
}
