// What people look at: a slice whose labels were shown in Review for a moment counts as looked at.

import * as api from "./api.js";
import { refresh } from "./folder.js";
import { setMasks, showsGiven } from "./painting.js";
import { arrays } from "./slices.js";
import { keyOf, on, shown, state } from "./state.js";
import { telling } from "./status.js";

const MOMENT = 700; // ms; cine and quick scrolling are no looking
let timer = null;

const looking = () =>
  state.tab === "review" && state.overlay.shown && !document.hidden && shown()?.predicted && !showsGiven(shown());

function begin() {
  clearTimeout(timer);
  if (!looking() || shown().masks.looked.includes(state.place.z)) return;
  const key = keyOf(state.place);
  timer = setTimeout(() => looking() && key === keyOf(state.place) && look(), MOMENT);
}

const look = telling(async () => {
  const { image, prediction } = arrays();
  if (!image || !prediction) return begin();
  const one = shown();
  try {
    return setMasks(one.name, await api.putLooked(one.name, state.place.z, state.folder.run.name));
  } catch (error) {
    if (!error.stale) throw error;
    return refresh(); // a later run has predicted: its labels are shown from now on
  }
});

export function startLooked() {
  for (const event of ["place", "tab", "overlay", "folder"]) on(event, begin);
  addEventListener("visibilitychange", begin);
}
