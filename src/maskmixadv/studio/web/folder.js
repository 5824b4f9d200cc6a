// The folder: its cases, and images that are added to it.

import * as api from "./api.js";
import { byId, element } from "./element.js";
import { listed } from "./filter.js";
import { cases, go, on, setFolder, state } from "./state.js";
import { say, telling } from "./status.js";
import { chosenFiles, droppedFiles, send, sorted } from "./uploads.js";

export const refresh = async () => setFolder(await api.getFolder());

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
  byId("cases").replaceChildren(...found.map(item));
  byId("none").hidden = found.length > 0 || !cases().length;
  byId("cases").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  byId("folder-name").textContent = state.folder.name;
  byId("problems").replaceChildren(...state.folder.problems.map((line) => element("li", {}, line)));
  byId("empty").hidden = cases().length > 0;
  byId("empty-title").textContent = state.folder.problems.length ? "No image can be shown; the list says why" : "No images yet";
  document.title = `${state.folder.name} – maskmixadv studio`;
}

/** @param {{folder: string, file: File}[]} found */
async function add(found) {
  try {
    for (const upload of sorted(found)) {
      say(`adding ${upload.name} …`);
      await send(upload);
      say(`${upload.name} is added`);
    }
  } finally {
    await refresh(); // what came before a refused file is there
  }
}

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
