// The bar above the viewer: a button a class, eraser, brush size, undo and redo.

import * as draw from "./hand.js";
import { byId, element, enable, refill, swatch } from "./element.js";
import { broadest, classes, on, setTool, state } from "./state.js";

let inSight = null; // the class that was scrolled to

export function pick(code) {
  if (code < classes().length) setTool({ code, erasing: false });
}

export const erase = () => setTool({ erasing: !state.tool.erasing });
/** @param {1|-1} way broad brushes change by more than a pixel */
export const resize = (way) => setTool({ size: state.tool.size + way * Math.max(1, Math.floor(state.tool.size / 20)) });

function showClasses() {
  const buttons = classes().map(({ name, colour }, code) =>
    element(
      "button",
      { type: "button", class: "class", title: `Draw ${name} (${code})`, "data-code": code, onclick: () => pick(code) },
      swatch(colour),
      element("span", { class: "name" }, name),
      code < 10 ? element("kbd", {}, String(code)) : null,
    ),
  );
  inSight = null;
  refill(byId("class-buttons"), [...buttons.slice(1), ...buttons.slice(0, 1)]);
  showTool();
}

function showTool() {
  const { code, erasing, size, closing } = state.tool;
  for (const button of byId("class-buttons").children) {
    button.setAttribute("aria-pressed", String(!erasing && Number(button.dataset.code) === code));
  }
  showChosen(code);
  byId("eraser").setAttribute("aria-pressed", String(erasing));
  byId("size").max = broadest();
  byId("size").value = size;
  byId("size-value").textContent = `${size} px`;
  byId("closing").checked = closing;
}

/** Of many classes the chosen one is in sight. */
function showChosen(code) {
  if (code === inSight) return;
  inSight = code;
  byId("class-buttons").querySelector(`[data-code="${code}"]`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function showUndo() {
  const can = state.place ? draw.canUndo() : { undo: false, redo: false };
  enable(byId("undo"), can.undo);
  enable(byId("redo"), can.redo);
}

function showCounts() {
  const counts = state.place ? draw.drawnPixels() : new Map();
  const rows = classes().map(({ name, colour }, code) =>
    element(
      "li",
      {},
      swatch(colour),
      element("span", { class: "name" }, name),
      element("span", { class: "number" }, counts.get(code) ? `${counts.get(code)} px` : "–"),
    ),
  );
  byId("counts").replaceChildren(...rows.slice(1), ...rows.slice(0, 1));
  for (const id of ["clear", "copy"]) enable(byId(id), counts.size > 0);
}

export function startPalette() {
  const clicks = { eraser: erase, undo: draw.undo, redo: draw.redo, clear: draw.clearSlice, copy: draw.copyToNext };
  for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", () => act());
  byId("size").addEventListener("input", ({ target }) => setTool({ size: Number(target.value) }));
  byId("closing").addEventListener("change", ({ target }) => setTool({ closing: target.checked }));
  on("folder", showClasses);
  on("tool", showTool);
  on("place", () => byId("size").max !== String(broadest()) && setTool({})); // a slice of another size
  for (const event of ["place", "pixels", "arrays", "painted", "painting", "tab"]) on(event, showUndo);
  for (const event of ["place", "arrays", "save", "folder"]) on(event, showCounts);
}
