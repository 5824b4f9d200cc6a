// Texts in the viewer's corners, and the controls of window and zoom.

import { byId } from "./element.js";
import { arrays } from "./slices.js";
import { on, shown, state } from "./state.js";
import { addMark, fit, millimetre, redraw, zoom } from "./view.js";
import * as grey from "./window.js";

const BARS = [100, 50, 20, 10, 5, 2, 1]; // mm
const WIDEST = 120; // px

export const autoWindow = () => grey.auto(arrays().image);

function showPlace() {
  const one = shown();
  byId("where").textContent = one ? one.name : "";
  byId("which").textContent = one ? `slice ${state.place.z + 1} of ${one.shape[0]}` : "";
}

function showWindow() {
  if (!shown()) return;
  const { level, width, least, most } = grey.levels();
  const digits = most - least > 20 ? 0 : 2;
  byId("grey").textContent = `W ${width.toFixed(digits)}  L ${level.toFixed(digits)}`;
  const step = (most - least) / 500 || 1;
  Object.assign(byId("level"), { min: least, max: most, step, value: level });
  Object.assign(byId("width"), { min: 0, max: most - least, step, value: width });
}

function showBar() {
  const bar = byId("bar");
  const scale = millimetre();
  bar.hidden = scale === null;
  if (scale === null) return;
  const length = BARS.find((mm) => mm * scale <= WIDEST) ?? BARS.at(-1);
  bar.style.width = `${length * scale}px`;
  bar.textContent = `${length} mm`;
}

export function startCorners() {
  addMark(showBar);
  on("place", showPlace);
  for (const event of ["place", "window"]) on(event, showWindow);
  for (const id of ["level", "width"]) {
    byId(id).addEventListener("input", ({ target }) => grey.setLevels({ ...grey.levels(), [id]: Number(target.value) }));
  }
  const clicks = { "window-auto": autoWindow, "zoom-in": () => zoom(1.25), "zoom-out": () => zoom(0.8), fit };
  for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", act);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}
