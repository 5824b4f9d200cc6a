// The patient's sides at the edges of the slice: R, L, A, P, H, F, as the image's own file says.

import { byId } from "./element.js";
import { on, shown } from "./state.js";

const EDGES = ["top", "bottom", "left", "right"];

/** Letters at the edges of a slice whose rows and columns lie so; empty where the file does not say. */
export function sidesOf(edges) {
  if (!edges) return ["", "", "", ""];
  const [, [top, bottom], [left, right]] = edges;
  return [top, bottom, left, right];
}

function show() {
  const sides = sidesOf(shown()?.edges);
  EDGES.forEach((edge, place) => (byId(`side-${edge}`).textContent = sides[place]));
}

export function startSides() {
  for (const event of ["place", "folder"]) on(event, show);
}
