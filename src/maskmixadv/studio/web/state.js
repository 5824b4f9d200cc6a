// What the page is about now, and word of its changes.

export const EMPTY = 255; // a pixel on which nothing was drawn

const CHANNEL = "maskmixadv-channel"; // kept by the tab, so that a reload shows the same channel

export const state = {
  folder: null, // what GET /api/folder answers
  place: null, // {name, z}: the slice that is shown
  channel: Number(sessionStorage.getItem(CHANNEL)) || 0, // the channel that is shown, of images that have as many
  tool: { code: 1, erasing: false, size: 2, closing: true },
  overlay: { shown: true, opacity: 0.35, contour: true, disagreement: false, given: false, proposed: true, strokes: true },
  tab: "draw",
};

const bus = new EventTarget();

/** @param {"folder"|"place"|"channel"|"arrays"|"pixels"|"drawn"|"proposed"|"training"|"taken"|"tool"|"overlay"|"window"|"tab"|"trained"|"reviewed"|"withdrawn"|"painting"|"painted"|"masked"|"corrected"|"recoded"|"replaced"} event */
export const on = (event, heed) => bus.addEventListener(event, (e) => heed(e.detail));
export const emit = (event, detail) => bus.dispatchEvent(new CustomEvent(event, { detail }));

export const cases = () => state.folder?.cases ?? [];
export const classes = () => state.folder?.classes ?? [];
export const caseNamed = (name) => cases().find((one) => one.name === name);
export const shown = () => state.place && caseNamed(state.place.name);
export const keyOf = ({ name, z }) => `${name}/${z}`;
export const isShown = (place) => state.place !== null && keyOf(place) === keyOf(state.place);
/** Whether a key begins with that of a slice of a case: no name holds a slash. */
export const isOf = (key, name) => key.startsWith(`${name}/`);

/** The channel that is shown of a case: {index, name, low, high, padded}. */
export function channelOf(one) {
  const index = Math.min(state.channel, one.channels.length - 1);
  return { index, ...one.channels[index] };
}

export function setFolder(folder) {
  const before = state.folder;
  state.folder = folder;
  if (state.place && !shown()) [gone, state.place, instead] = [gone ?? state.place, null, null];
  if (!before) gone = lastPlace(folder); // its image may be away while the page is loaded again
  const back = gone && (!state.place || state.place === instead) && kept(folder, gone);
  if (back) state.place = back;
  const last = (shown()?.shape[0] ?? 1) - 1;
  if (state.place?.z > last) state.place = { ...state.place, z: last }; // the image was replaced
  const [first] = folder.cases;
  if (first && !state.place) {
    state.place = { name: first.name, z: middle(first) };
    instead = state.place;
  }
  if (state.place && state.place !== instead) staysHere();
  state.tool.code = Math.min(state.tool.code, folder.classes.length - 1);
  // A class was removed, here or on another page, so that the others have other codes.
  if (before && !`${folder.coding},`.startsWith(`${before.coding},`)) emit("recoded");
  for (const event of ["folder", "place"]) emit(event);
  if (before && before.run?.name !== folder.run?.name) emit("trained");
}

/** Where this tab was before it was loaded again. */
let lastPlace = () => null;
let gone = null; // the place that was shown before its image went; it may come back, as where a folder was renamed
let instead = null; // the place that the page chose then
/** Somebody works here, or went here: nothing else is shown when another image is back. */
export const staysHere = () => (gone = instead = null);
/** Where the page is to be when it is loaded again: where somebody was, also while the image is away. */
export const placeToKeep = () => gone ?? state.place;
export const recallPlace = (recall) => (lastPlace = recall);

function kept(folder, place) {
  const one = place && folder.cases.find(({ name }) => name === place.name);
  return one ? { name: place.name, z: place.z } : null;
}

const middle = (one) => Math.floor(one.shape[0] / 2);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export function go(name, z = middle(caseNamed(name))) {
  const depth = caseNamed(name).shape[0];
  const place = { name, z: clamp(z, 0, depth - 1) };
  if (state.place && keyOf(place) === keyOf(state.place)) return;
  state.place = place;
  staysHere();
  emit("place");
}

export const scroll = (slices) => state.place && go(state.place.name, state.place.z + slices);

export function nextCase(step) {
  const at = cases().findIndex((one) => one.name === state.place?.name);
  const next = cases()[clamp(at + step, 0, cases().length - 1)];
  if (next && next.name !== state.place?.name) go(next.name);
}

/** @param {number} channel of the shown case; past the last one comes the first */
export function setChannel(channel) {
  const count = shown()?.channels.length ?? 1;
  if (count === 1) return;
  state.channel = channel % count;
  sessionStorage.setItem(CHANNEL, state.channel);
  emit("channel");
}

export const nextChannel = () => shown() && setChannel(channelOf(shown()).index + 1);

/** The verdicts on a case have changed, of which that on slice z is new. */
export function setReviews(name, z, reviews) {
  const one = caseNamed(name); // by its name: the folder may have been read anew since the call began
  if (!one) return; // gone meanwhile
  const before = one.reviews[z];
  one.reviews = reviews;
  if (before === reviews[z]) return;
  emit("reviewed");
  if (before === "accepted") emit("withdrawn", { name: one.name, z });
}

/** The broadest brush, in pixels: large pictures have broader ones. */
export function broadest() {
  const [, h, w] = shown()?.shape ?? [0, 0, 0];
  return clamp(Math.round(Math.min(h, w) / 20), 40, 200);
}

export function setTool(change) {
  Object.assign(state.tool, change);
  state.tool.size = clamp(state.tool.size, 1, broadest());
  emit("tool");
}

export function setOverlay(change) {
  Object.assign(state.overlay, change);
  emit("overlay");
}

export function setTab(tab) {
  state.tab = tab;
  emit("tab");
}
