// The folder: its cases, and images that are added to it.

import * as api from "./api.js";
import { byId, element, refill } from "./element.js";
import { listed } from "./filter.js";
import { caseNamed, cases, go, on, placeToKeep, setFolder, state } from "./state.js";
import { say, telling } from "./status.js";
import { chosenFiles, droppedFiles, leftOut, send, sorted } from "./uploads.js";

const TRIES = 5; // questions for the folder, while somebody draws without a rest
let notAdded = []; // a line for each file of the last upload that is not there; they stay until the next one

let asked = 0; // questions for the folder
let heard = 0; // the latest question that is answered

/** Read the folder. What was saved meanwhile is in it, and an answer that comes late replaces no later one. */
export async function refresh() {
  let [folder, question, before] = [null, 0, null];
  for (let tries = 0; tries < TRIES && before !== api.changes(); tries++) {
    [question, before] = [++asked, api.changes()];
    folder = await api.getFolder();
  }
  if (question < heard) return;
  heard = question;
  const shown = state.place?.name;
  setFolder(folder);
  const name = shown ?? placeToKeep()?.name; // after a reload nothing was shown
  if (name && state.place && state.place.name !== name) tellOfChange(name, state.place.name);
}

function tellOfChange(before, now) {
  if (caseNamed(before)) say(`${now} is there again.`);
  else say(`${before} is gone: its image was renamed, or taken away. This is ${now}.`, "trouble");
}

function item(one) {
  const here = one.name === state.place?.name;
  const depth = one.shape[0];
  return element(
    "li",
    {},
    element(
      "button",
      {
        type: "button",
        class: "case",
        "aria-current": here ? "true" : null,
        "data-name": one.name,
        title: [one.name, ...one.notes].join("\n"),
        onclick: () => go(one.name),
      },
      element("span", { class: "name" }, one.name),
      element("span", { class: "number", title: "slices with strokes" }, `${one.scribbled.length} / ${depth}`),
      one.notes.length ? element("span", { class: "reason" }, one.notes.join("; ")) : null,
    ),
  );
}

/** Of hundreds of cases only the shown one changes its looks. */
function showHere() {
  for (const button of byId("cases").querySelectorAll("button")) {
    const here = button.dataset.name === state.place?.name;
    if (here) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    if (here) button.scrollIntoView({ block: "nearest" });
  }
}

function show() {
  const found = listed();
  refill(byId("cases"), found.map(item));
  byId("none").hidden = found.length > 0 || !cases().length;
  byId("cases").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  byId("folder-name").textContent = state.folder.name;
  const problems = [...notAdded, ...state.folder.problems];
  byId("problems").replaceChildren(...problems.map((line) => element("li", {}, line)));
  byId("empty").hidden = cases().length > 0;
  byId("empty-title").textContent = problems.length ? "No image can be shown; the list says why" : "No images yet";
  document.title = `${state.folder.name} – maskmixadv studio`;
}

/** Add what can be added: a file that is refused keeps no other one back. @param {{folder: string, file: File}[]} found */
async function add(found) {
  const uploads = sorted(found);
  const refused = [];
  for (const upload of uploads) {
    say(`adding ${upload.name} …`);
    try {
      await send(upload);
    } catch (error) {
      refused.push(error.message);
      if (!error.passing) continue;
      // The server is away, or the disk is full: the others would fail, too.
      refused.push(...uploads.slice(uploads.indexOf(upload) + 1).map(({ name }) => `${name}: not added`));
      break;
    }
  }
  notAdded = [...refused, ...leftOut(found)];
  await telling(refresh)();
  if (notAdded.length) say(inShort(notAdded), "trouble");
  else if (uploads.length) say(uploads.length === 1 ? `${uploads[0].name} is added` : `${uploads.length} images are added`);
}

/** The first of several lines, and how many more the list has. */
const inShort = ([first, ...more]) => (more.length ? `${first}; and ${more.length} more, which the list of cases names` : first);

const addDropped = telling(async (found) => add(await found));

function dropped(event) {
  event.preventDefault();
  document.body.classList.remove("dropping");
  addDropped(droppedFiles(event.dataTransfer));
}

/** Let a button open a chooser of files, or of a folder. */
function offer(buttons, chooser) {
  for (const button of document.querySelectorAll(buttons)) button.addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", async () => {
    await telling(add)(chosenFiles(chooser.files));
    chooser.value = "";
  });
}

export function startFolder() {
  for (const event of ["folder", "scribbled", "filtered"]) on(event, () => state.folder && show());
  on("place", showHere);
  offer(".add-images", byId("files"));
  offer(".add-series", byId("series"));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dropping"));
  addEventListener("drop", dropped);
}
