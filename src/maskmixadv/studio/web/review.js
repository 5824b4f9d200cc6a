// Review: the prediction over the image, where models disagree, and a verdict for each slice.

import * as api from "./api.js";
import { byId, enable } from "./element.js";
import { refresh } from "./folder.js";
import { next } from "./queue.js";
import { isCorrected, showsGiven } from "./painting.js";
import { watchStrokes } from "./proposals.js";
import { allSaved } from "./save.js";
import { on, setOverlay, setReviews, setTab, shown, state } from "./state.js";
import { say, telling } from "./status.js";

const SAYS = { accepted: "Accepted", rejected: "Rejected", corrected: "Corrected by hand" };

const judge = telling(async (verdict) => {
  const one = shown();
  const { place } = state;
  const { z } = place;
  if (!one?.predicted && verdict) return say("there is no prediction to judge yet; train first, or U accepts the proposal");
  if (isCorrected()) return say("the painted mask of this slice counts; discard it to judge the prediction");
  if (verdict && showsGiven(one)) return say("the mask that came with the folder is shown; show the prediction to judge it");
  const drawnSince = watchStrokes();
  await allSaved(); // or strokes that were drawn before would take the verdict back
  if (verdict && drawnSince(place)) return say(`You drew on the slice since, so it is not ${verdict}`);
  const seen = { verdict: one.reviews[z] ?? null, run: state.folder.run?.name ?? null };
  const { reviews } = await api.putReview(one.name, z, verdict, seen).catch(async (error) => {
    if (error.stale) await refresh(); // what holds by now is shown, and then judged
    throw error;
  });
  setReviews(one.name, z, reviews);
  if (!verdict) return undefined;
  say(`${SAYS[verdict]}: ${one.name}, slice ${z + 1}`);
  return byId("advance").checked ? next() : undefined;
});

export const accept = () => judge("accepted");
export const reject = () => judge("rejected");

/** Take a verdict back, and draw: corrections are strokes as any others. */
export async function fix() {
  if (shown()?.reviews[state.place.z]) await judge(null);
  setTab("review");
  byId("canvas").focus();
  say("Draw on what is wrong; the next training learns from it.");
}

export const toggleOverlay = () => setOverlay({ shown: !state.overlay.shown });
export const toggleContour = () => setOverlay({ contour: !state.overlay.contour });
export const toggleDisagreement = () => setOverlay({ disagreement: !state.overlay.disagreement });

function showOverlay() {
  const { overlay } = state;
  byId("overlay").checked = overlay.shown;
  byId("contour").checked = overlay.contour;
  byId("disagreement").checked = overlay.disagreement;
  byId("opacity").value = Math.round(100 * overlay.opacity);
  byId("opacity-value").textContent = `${Math.round(100 * overlay.opacity)} %`;
}

function showVerdict() {
  const one = shown();
  const corrected = one && isCorrected();
  const verdict = corrected ? "corrected" : one?.reviews[state.place.z];
  byId("verdict").dataset.state = verdict ?? "";
  byId("verdict").textContent = verdict ? SAYS[verdict] : one?.predicted ? "Not judged yet" : "No prediction yet";
  for (const [id, is] of [["accept", "accepted"], ["reject", "rejected"]]) {
    byId(id).setAttribute("aria-pressed", String(verdict === is));
    enable(byId(id), one?.predicted && !corrected);
  }
  enable(byId("fix"), (one?.predicted || verdict) && !corrected);
}

export function startReview() {
  for (const [id, act] of Object.entries({ accept, reject, fix })) byId(id).addEventListener("click", act);
  for (const [id, field] of [["overlay", "shown"], ["contour", "contour"], ["disagreement", "disagreement"]]) {
    byId(id).addEventListener("change", ({ target }) => setOverlay({ [field]: target.checked }));
  }
  byId("opacity").addEventListener("input", ({ target }) => setOverlay({ opacity: target.value / 100 }));
  on("overlay", showOverlay);
  for (const event of ["place", "folder", "reviewed", "masked"]) on(event, showVerdict);
  on("withdrawn", ({ name, z }) => say(`No longer accepted: ${name}, slice ${z + 1}`));
  showOverlay();
}
