// The instant answer: after each stroke the slice shows what its strokes say.

import { penIsDown } from "./draw.js";
import { byId } from "./element.js";
import { propose, proposeOnce } from "./proposals.js";
import { arrays } from "./slices.js";
import { on, setOverlay, state } from "./state.js";

export const toggleProposal = () => setOverlay({ proposed: !state.overlay.proposed });

function arrived() {
  const { scribble } = arrays();
  if (scribble && !penIsDown()) proposeOnce(state.place, scribble);
}

export function startInstant() {
  on("drawn", ({ place, labels }) => propose(place, labels));
  for (const event of ["place", "arrays"]) on(event, () => state.place && arrived());
  byId("proposed").addEventListener("change", ({ target }) => setOverlay({ proposed: target.checked }));
  on("overlay", () => (byId("proposed").checked = state.overlay.proposed));
}
