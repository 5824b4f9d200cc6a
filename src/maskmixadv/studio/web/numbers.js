// Volumes of the predicted structures, a heart's function, and exports.

import * as api from "./api.js";
import { byId, element, once } from "./element.js";
import { allSaved } from "./save.js";
import { classes, on, state } from "./state.js";
import { say, telling } from "./status.js";

const HEART = [
  ["edv", "EDV", "ml"],
  ["esv", "ESV", "ml"],
  ["sv", "SV", "ml"],
  ["ef", "EF", "%"],
  ["mass", "Mass", "g"],
];

const figure = (value) => (value == null ? "–" : value >= 100 ? value.toFixed(0) : value.toFixed(1));

function table(caption, head, rows) {
  return element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...head.map((cell) => element("th", { scope: "col" }, ...cell)))),
    element("tbody", {}, ...rows.map(([first, ...rest]) => row(first, rest))),
  );
}

const row = (first, rest) =>
  element(
    "tr",
    {},
    element("th", { scope: "row", title: first }, first),
    ...rest.map((value) => (value instanceof Element ? value : element("td", {}, figure(value)))),
  );

const unit = (name, what) => [name, element("span", { class: "unit" }, what)];

/** How many of a case's slices a person looked at; a case that nobody looked at is marked. */
function looks({ slices, looked_at: looked }) {
  const said = looked ? `${looked} of ${slices}` : "nobody";
  return element("td", { class: looked ? "looked" : "nobody", title: "slices that a person looked at in Review" }, said);
}

function show({ cases, slices = {}, heart, problems = [] }) {
  const structures = classes().slice(1).map(({ name }) => name);
  const known = cases.every((one) => one.spacing_known);
  const volumes = table(
    known ? "Volumes" : "Volumes, in voxels where an image does not say its spacing",
    [["Case"], ...structures.map((name) => unit(name, known ? "ml" : "")), unit("Seen", "slices")],
    cases.map((one) => [one.case, ...structures.map((name) => one.volumes[name]), looks(slices[one.case])]),
  );
  const function_ = table(
    "Left ventricle",
    [["Patient"], ...HEART.map(([, name, what]) => unit(name, what))],
    (heart ?? []).map((one) => [one.patient, ...HEART.map(([field]) => one[field])]),
  );
  const missing = element("p", { class: "problem" }, `Not measured: ${problems.join("; ")}`);
  byId("numbers").replaceChildren(
    ...(heart?.length ? [function_] : []),
    ...(cases.length ? [volumes] : []),
    ...(problems.length ? [missing] : []),
  );
  byId("numbers-note").hidden = cases.length > 0;
}

const ask = telling(async () => {
  if (state.tab === "numbers") show(await api.getClinical());
});

const showLeft = (problems) =>
  byId("export-left").replaceChildren(...problems.map((line) => element("li", {}, `Not exported: ${line}`)));

async function export_(what, button) {
  byId("exported").hidden = true;
  byId("export-left").replaceChildren();
  await allSaved(); // what was drawn or painted last is exported, too
  say(`exporting: ${button.textContent} …`);
  const { path, files, problems = [] } = await api.exportFolder(what).catch((error) => {
    showLeft(error.problems ?? []);
    throw error;
  });
  const count = Array.isArray(files) ? files.length : files;
  byId("export-path").textContent = path;
  byId("export-note").textContent = `${count} ${count === 1 ? "file" : "files"} written to`;
  showLeft(problems);
  byId("exported").hidden = false;
  if (problems.length) say(`exported: ${button.textContent}; Results names what is not in it`, "trouble");
  else say(`exported: ${button.textContent}`);
}

export function startNumbers() {
  for (const button of document.querySelectorAll("[data-export]")) {
    button.addEventListener(
      "click",
      telling(() => once(button, () => export_(button.dataset.export, button))),
    );
  }
  for (const event of ["tab", "trained", "reviewed", "masked"]) on(event, ask);
}
