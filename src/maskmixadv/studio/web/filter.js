// Which cases are listed: by a part of their name, and by what was done with them.

import { byId } from "./element.js";
import { cases, emit, on } from "./state.js";

const FEW = 8; // cases that need no filter

const STATES = {
  all: () => true,
  bare: (one) => !one.scribbled.length,
  scribbled: (one) => one.scribbled.length > 0,
  open: (one) => one.predicted && Object.keys(one.reviews).length < one.shape[0],
  accepted: (one) => Object.values(one.reviews).includes("accepted"),
  rejected: (one) => Object.values(one.reviews).includes("rejected"),
};

/** @param {string} text  @param {keyof STATES} is */
export const matching = (one, text, is) => one.name.toLowerCase().includes(text.trim().toLowerCase()) && STATES[is](one);

export const listed = () =>
  byId("filters").hidden ? cases() : cases().filter((one) => matching(one, byId("search").value, byId("filter").value));

export function startFilter() {
  on("folder", () => (byId("filters").hidden = cases().length <= FEW));
  for (const id of ["search", "filter"]) byId(id).addEventListener("input", () => emit("filtered"));
}
