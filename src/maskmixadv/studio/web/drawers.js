// Small windows: lists and steps lie over the image when they are asked for, so that it keeps the window. And a way past them.

import { byId } from "./element.js";
import { on } from "./state.js";

const NAMES = ["nav", "aside"];

function open(name) {
  const now = document.body.dataset.drawer === name ? "" : name;
  document.body.dataset.drawer = now;
  for (const one of NAMES) byId(`open-${one}`).setAttribute("aria-expanded", String(one === now));
}

export function startDrawers() {
  for (const name of NAMES) byId(`open-${name}`).addEventListener("click", () => open(name));
  byId("canvas").addEventListener("pointerdown", () => open(""));
  on("place", () => document.body.dataset.drawer === "nav" && open(""));
  byId("skip").addEventListener("click", () => byId("canvas").focus());
}
