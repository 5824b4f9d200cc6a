// The instant answer: after each stroke the slice shows what its strokes say. It is accepted, or turned away.

import * as api from "./api.js";
import { penIsDown } from "./draw.js";
import { byId, enable, once } from "./element.js";
import { refresh } from "./folder.js";
import { isCorrected } from "./painting.js";
import { propose, proposeOnce, proposalAt, setProposal, watchStrokes } from "./proposals.js";
import { allSaved } from "./save.js";
import { arrays } from "./slices.js";
import { caseNamed, emit, on, setOverlay, setReviews, shown, state } from "./state.js";
import { say, telling } from "./status.js";

export const toggleProposal = () => setOverlay({ proposed: !state.overlay.proposed });

let training = false; // then only what is drawn is asked about: all else takes time from the training

function arrived() {
  if (training || !state.place || penIsDown() || shown()?.reviews[state.place.z] === "accepted") return;
  const { scribble } = arrays();
  if (scribble) proposeOnce(state.place, scribble);
}

/** Make the proposal the slice's mask: the next training learns from it, and exports hold it. */
export const acceptProposal = telling(async () => {
  const [one, place] = [shown(), state.place];
  const labels = place && proposalAt(place);
  if (!labels) return say("there is no proposal on this slice; draw two classes, or J fills between slices");
  const drawnSince = watchStrokes();
  await allSaved(); // or strokes that were drawn before would take the verdict back
  if (drawnSince(place)) return say("You drew on the slice since, so it is not accepted");
  const seen = { verdict: one.reviews[place.z] ?? null, run: state.folder.run?.name ?? null };
  const { reviews } = await api.acceptProposal(place.name, place.z, labels, seen).catch(async (error) => {
    if (error.stale) await refresh(); // what holds by now is shown, and then judged
    throw error;
  });
  if (!drawnSince(place)) setProposal(place, null); // what newer strokes say stays: they take the verdict back
  setReviews(place.name, place.z, reviews);
  emit("taken", place);
  return say(`Accepted: ${place.name}, slice ${place.z + 1}`);
});

export function turnAway() {
  if (state.place) setProposal(state.place, null);
}

const LACKS = {
  fill: "draw two classes on two slices that have others between them",
  shapes: "draw or paint a structure on two slices that have others between them",
};

/** Propose slices between others; what was accepted stays as it is. @param {"fill"|"shapes"} how as `api.fillCase` */
async function fillBy(how) {
  const one = shown();
  if (!one) return undefined;
  await allSaved();
  say("filling between slices …");
  const drawnSince = watchStrokes();
  const found = await api.fillCase(one.name, how);
  if (!found) return say(LACKS[how]);
  for (const [z, labels] of found) {
    const place = { name: one.name, z };
    // Newer strokes have their own answer, and what was accepted or painted meanwhile counts.
    const counts = caseNamed(one.name)?.reviews[z] === "accepted" || isCorrected(place);
    if (!drawnSince(place) && !counts) setProposal(place, labels);
  }
  setOverlay({ proposed: true });
  const [first, last] = [Math.min(...found.keys()) + 1, Math.max(...found.keys()) + 1];
  const filled = first === last ? `slice ${first}` : `slices ${first} to ${last}`;
  return say(`Filled ${filled}: U accepts a slice, Q turns it away`);
}

const between = (how) => telling(() => once(byId(how), () => fillBy(how)));
export const fillBetween = between("fill");
export const shapesBetween = between("shapes");

function show() {
  byId("proposed").checked = state.overlay.proposed;
  const there = Boolean(state.place && proposalAt(state.place));
  for (const id of ["accept-proposal", "turn-away"]) enable(byId(id), there);
}

export function startInstant() {
  on("drawn", ({ place, labels }) => propose(place, labels));
  for (const event of ["place", "arrays"]) on(event, arrived);
  for (const event of ["place", "proposed", "overlay"]) on(event, show);
  on("training", (course) => {
    training = course.state === "running" || course.state === "predicting";
    arrived();
  });
  byId("proposed").addEventListener("change", ({ target }) => setOverlay({ proposed: target.checked }));
  const clicks = { "accept-proposal": acceptProposal, "turn-away": turnAway, fill: fillBetween, shapes: shapesBetween };
  for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", act);
}
