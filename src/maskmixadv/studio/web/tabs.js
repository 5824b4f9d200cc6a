// The panel's tabs, which arrow keys walk along.

import { byId } from "./element.js";
import { on, setTab, state } from "./state.js";

const tabs = [...document.querySelectorAll("[role=tab]")];
const nameOf = (tab) => tab.id.replace("tab-", "");

function show() {
  const focused = document.activeElement.closest("[role=tabpanel]")?.id;
  for (const tab of tabs) {
    const open = nameOf(tab) === state.tab;
    tab.setAttribute("aria-selected", String(open));
    tab.tabIndex = open ? 0 : -1;
    // A key opens another panel: the keyboard's focus in one that hides would be lost.
    if (open && focused && focused !== `panel-${state.tab}`) tab.focus({ preventScroll: true });
    byId(`panel-${nameOf(tab)}`).hidden = !open;
  }
}

function walk(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
  setTab(nameOf(next));
  next.focus();
}

export function startTabs() {
  for (const tab of tabs) {
    tab.addEventListener("click", () => setTab(nameOf(tab)));
    tab.addEventListener("keydown", walk);
  }
  on("tab", show);
  show();
}
