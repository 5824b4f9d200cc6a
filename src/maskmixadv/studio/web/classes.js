// The dialog in which classes are named, coloured and added.

import * as api from "./api.js";
import { byId, element } from "./element.js";
import { refresh } from "./folder.js";
import { allSaved } from "./save.js";
import { classes } from "./state.js";
import { telling } from "./status.js";

// Told apart by eyes of every kind, on grey images (after Okabe and Ito).
const COLOURS = ["#4aa8ff", "#ffb02e", "#ff5d73", "#35c99b", "#c58bff", "#f0e442", "#7ee0ff", "#ff8f4a", "#d7a6b3"];

const GOLDEN = 137.508; // degrees: hues a golden angle apart are never close to one another

let seen = []; // the classes when the dialog was opened: another page may change them meanwhile

function row({ name, colour, was = null }, code) {
  const label = code ? `structure ${code}` : "background";
  const item = element(
    "li",
    { "data-was": was },
    element("input", { type: "color", value: colour, "aria-label": `Colour of ${label}` }),
    element("input", { type: "text", value: name, required: true, maxlength: 40, "aria-label": `Name of ${label}` }),
    element("kbd", {}, String(code)),
    code ? element("button", { type: "button", class: "icon", "aria-label": `Remove ${name}`, title: "Remove" }, "×") : null,
  );
  item.querySelector("button")?.addEventListener("click", () => remove(item));
  return item;
}

function remove(item) {
  item.remove();
  rows().forEach((one, code) => (one.querySelector("kbd").textContent = code));
  byId("add-class").focus();
}

const rows = () => [...byId("class-rows").children];

/** A name and a colour that no other class has. @param {{name: string, colour: string}[]} others */
export function fresh(others) {
  const has = (what, value) => others.some((one) => one[what].trim().toLowerCase() === value);
  let number = others.length;
  while (has("name", `structure ${number}`)) number += 1;
  let [colour, turn] = [COLOURS.find((one) => !has("colour", one)), 1];
  for (; !colour || has("colour", colour); turn++) colour = hue(turn * GOLDEN, [0.62, 0.78, 0.5][turn % 3]);
  return { name: `structure ${number}`, colour };
}

/** A strong colour, of a hue in degrees. */
function hue(degrees, light) {
  const part = (n) => {
    const at = (n + degrees / 30) % 12;
    return light - 0.75 * Math.min(light, 1 - light) * Math.max(-1, Math.min(at - 3, 9 - at, 1));
  };
  return `#${[0, 8, 4].map((n) => Math.round(255 * part(n)).toString(16).padStart(2, "0")).join("")}`;
}

const written = () =>
  rows().map((item) => {
    const [colour, name] = item.querySelectorAll("input");
    return { name: name.value, colour: colour.value };
  });

function add() {
  byId("class-rows").append(row(fresh(written()), rows().length));
  rows().at(-1).querySelector("[type=text]").select();
}

async function store(event) {
  event.preventDefault();
  const places = rows().map(({ dataset }) => ("was" in dataset ? Number(dataset.was) : null));
  const wanted = written().map(({ name, colour }, code) => ({ name: name.trim(), colour, was: places[code] }));
  await allSaved();
  await api.putClasses(wanted, seen).catch(async (error) => {
    if (error.stale) await refresh(); // what holds by now is shown when the dialog is opened again
    throw error;
  });
  byId("classes").close();
  await refresh();
}

export function openClasses() {
  seen = classes().map(({ name, colour }) => ({ name, colour }));
  byId("class-rows").replaceChildren(...classes().map((one, code) => row({ ...one, was: code }, code)));
  byId("classes").showModal();
}

export function startClasses() {
  byId("edit-classes").addEventListener("click", openClasses);
  byId("add-class").addEventListener("click", add);
  byId("classes-form").addEventListener("submit", telling(store));
  byId("cancel-classes").addEventListener("click", () => byId("classes").close());
}
