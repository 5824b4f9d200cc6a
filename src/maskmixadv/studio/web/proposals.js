// Proposals: what strokes say at once. They are drawn lighter and dashed, and are no prediction.

import * as api from "./api.js";
import { countsOf } from "./counts.js";
import { emit, isOf, keyOf, on, state } from "./state.js";

const proposals = new Map(); // key -> labels, or null where strokes say nothing
const asking = new Map(); // key -> the question that waits, or was asked last
const changes = new Map(); // key -> how often strokes have changed here
on("drawn", ({ place }) => changes.set(keyOf(place), 1 + (changes.get(keyOf(place)) ?? 0)));

/** The shown slice's proposal; null where there is none, or it is hidden. */
export const shownProposal = () => (state.overlay.proposed && state.place && proposals.get(keyOf(state.place))) || null;
export const proposalAt = (place) => proposals.get(keyOf(place)) ?? null;

/** @param {Uint8Array | null} labels null: the slice has none from now on */
export function setProposal(place, labels) {
  const key = keyOf(place);
  if (asking.has(key)) asking.set(key, null); // an answer that is still to come is stale
  proposals.set(key, labels);
  emit("proposed", place);
}

/** @returns {(place) => boolean} whether the strokes of a slice have changed since this was called */
export function watchStrokes() {
  const before = new Map(changes);
  return (place) => changes.get(keyOf(place)) !== before.get(keyOf(place));
}

/** Strokes of a slice have changed: ask what they say. A later call makes an earlier one's answer stale. */
export async function propose(place, strokes) {
  const key = keyOf(place);
  const question = {}; // not the strokes themselves: those of a large slice would be kept for good
  asking.set(key, question);
  try {
    const labels = severalClasses(strokes) ? await api.getProposal(place.name, place.z, strokes) : null;
    if (asking.get(key) === question) setProposal(place, labels);
  } catch {
    // Nothing is shown; saving the same strokes tells of a server that is away.
    if (asking.get(key) === question) setProposal(place, null);
  }
}

/** A slice's strokes are here: ask, unless it was asked before. */
export function proposeOnce(place, strokes) {
  if (!asking.has(keyOf(place)) && !proposals.has(keyOf(place))) propose(place, strokes);
}

const severalClasses = (strokes) => countsOf(strokes).size > 1;

// Their codes mean other classes by now.
on("recoded", () => {
  proposals.clear();
  asking.clear();
  emit("proposed");
});

// They are of another image.
on("replaced", ({ name }) => {
  for (const kept of [proposals, asking]) for (const key of [...kept.keys()]) if (isOf(key, name)) kept.delete(key);
  emit("proposed");
});

// Answers to strokes of before knew another network. What fills slices between stays until a person is done with it.
on("trained", () => {
  for (const key of asking.keys()) proposals.delete(key);
  asking.clear();
  emit("proposed");
});
