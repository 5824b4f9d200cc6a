// Texts in the viewer's corners, and the controls of window and zoom.

import { byId, element } from "./element.js";
import { arrays } from "./slices.js";
import { channelOf, on, setChannel, shown, state } from "./state.js";
import { announce } from "./status.js";
import { addMark, fit, millimetre, redraw, zoom } from "./view.js";
import * as grey from "./window.js";

const BARS = [100, 50, 20, 10, 5, 2, 1]; // mm
const WIDEST = 120; // px

export const autoWindow = () => grey.auto(arrays().image);

function showPlace() {
  const one = shown();
  byId("where").textContent = one ? one.name : "";
  byId("which").textContent = one ? `slice ${state.place.z + 1} of ${one.shape[0]}` : "";
  const several = one?.channels.length > 1;
  byId("channel-name").textContent = several ? channelOf(one).name : "";
  byId("channel-field").hidden = !several;
  if (!several) return;
  byId("channel").replaceChildren(...one.channels.map(({ name }, index) => element("option", { value: index }, name)));
  byId("channel").value = channelOf(one).index;
}

function showWindow() {
  if (!shown()) {
    byId("grey").textContent = "";
    byId("bar").hidden = true;
    return;
  }
  const { level, width, least, most } = grey.levels();
  const digits = most - least > 20 ? 0 : 2;
  byId("grey").textContent = grey.untouched() ? "in colour" : `W ${width.toFixed(digits)}  L ${level.toFixed(digits)}`;
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
  for (const event of ["place", "channel"]) on(event, showPlace);
  for (const event of ["place", "channel", "window"]) on(event, showWindow);
  byId("channel").addEventListener("change", ({ target }) => {
    setChannel(Number(target.value));
    byId("canvas").focus(); // or the next keys would choose in the list
  });
  on("channel", () => announce(channelOf(shown()).name));
  for (const id of ["level", "width"]) {
    byId(id).addEventListener("input", ({ target }) => grey.setLevels({ ...grey.levels(), [id]: Number(target.value) }));
  }
  const clicks = { "window-auto": autoWindow, "zoom-in": () => zoom(1.25), "zoom-out": () => zoom(0.8), fit };
  for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", act);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}
