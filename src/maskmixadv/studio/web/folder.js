// The folder: its cases, and images that are added to it.

import * as api from "./api.js";
import { byId, element } from "./element.js";
import { cases, go, on, setFolder, state } from "./state.js";
import { say, telling } from "./status.js";

export const refresh = async () => setFolder(await api.getFolder());

function item(one) {
  const here = one.name === state.place?.name;
  const depth = one.shape[0];
  return element(
    "li",
    {},
    element(
      "button",
      { type: "button", class: "case", "aria-current": here ? "true" : null, title: one.name, onclick: () => go(one.name) },
      element("span", { class: "name" }, one.name),
      element("span", { class: "number", title: "slices with strokes" }, `${one.scribbled.length} / ${depth}`),
    ),
  );
}

function show() {
  byId("cases").replaceChildren(...cases().map(item));
  byId("cases").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  byId("folder-name").textContent = state.folder.name;
  byId("problems").replaceChildren(...(state.folder.problems ?? []).map((line) => element("li", {}, line)));
  byId("empty").hidden = cases().length > 0;
  document.title = `${state.folder.name} – maskmixadv studio`;
}

/** @param {FileList | File[]} files */
async function add(files) {
  try {
    for (const file of files) {
      say(`adding ${file.name} …`);
      await api.putImage(file);
      say(`${file.name} is added`);
    }
  } finally {
    await refresh(); // what came before a refused file is there
  }
}

function dropped(event) {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer.files.length) telling(add)(event.dataTransfer.files);
}

export function startFolder() {
  for (const event of ["folder", "place", "scribbled"]) on(event, () => state.folder && show());
  const chooser = byId("files");
  for (const button of document.querySelectorAll(".add-images")) {
    button.addEventListener("click", () => chooser.click());
  }
  chooser.addEventListener("change", async () => {
    await telling(add)(chooser.files);
    chooser.value = "";
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dropping"));
  addEventListener("drop", dropped);
}
