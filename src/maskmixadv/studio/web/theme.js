// Light or dark: the system's choice, until somebody chooses here.

import { byId } from "./element.js";

const KEY = "maskmixadv-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

const current = () => document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");

function show() {
  const other = current() === "dark" ? "light" : "dark";
  byId("theme").title = `Change to ${other} surroundings (T)`;
  byId("theme").setAttribute("aria-label", `Change to ${other} surroundings`);
}

export function toggleTheme() {
  const wanted = current() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = wanted;
  localStorage.setItem(KEY, wanted);
  show();
}

export function startTheme() {
  const chosen = localStorage.getItem(KEY);
  if (chosen) document.documentElement.dataset.theme = chosen;
  byId("theme").addEventListener("click", toggleTheme);
  dark.addEventListener("change", show);
  show();
}
