// Window and level: which intensities are shown from black to white; one for each channel of a case.
// Pictures in colour are shown as they are, until somebody chooses a window, which red, green and blue share.

import { channelOf, emit, shown, state } from "./state.js";

const FULL = 65535;
const WHOLE = { low: 0, high: 1 };
const windows = new Map();

const key = () => shown() && `${state.place.name}/${channelOf(shown()).index}`;

/** Bounds as fractions of the volume's range; null until an image has been seen. */
export const bounds = () => windows.get(key()) ?? null;

export function ensure(image) {
  if (image && !bounds()) auto(image);
}

/** Whether a picture in colour is shown as it is. */
export const untouched = () => shown()?.coloured && Object.entries(WHOLE).every(([end, value]) => bounds()?.[end] === value);

/** From the 1st to the 99.5th percentile of the slice, in which padding, which is 0, does not count. */
export function auto(image) {
  if (!image) return;
  if (shown().coloured) return set(WHOLE.low, WHOLE.high);
  const [low, high] = ranked(image, channelOf(shown()).padded, [0.01, 0.995]);
  set(low / FULL, high / FULL);
}

/** Values at fractions of all values in their order; of a large picture they are counted, as sorting takes seconds. */
export function ranked(image, padded, fractions) {
  const counts = new Uint32Array(FULL + 1);
  for (let index = 0; index < image.length; index++) counts[image[index]] += 1;
  const padding = padded && counts[0] < image.length ? counts[0] : 0;
  counts[0] -= padding;
  return fractions.map((fraction) => {
    const rank = Math.floor(fraction * (image.length - padding - 1));
    let [value, passed] = [0, counts[0]];
    while (passed <= rank) passed += counts[++value];
    return value;
  });
}

/** All windows, for the tab's memory. */
export const all = () => [...windows];
export function setAll(found) {
  for (const [name, ends] of found) windows.set(name, ends);
  emit("window");
}

function set(low, high) {
  windows.set(key(), { low, high: Math.max(high, low + 1e-3) });
  emit("window");
}

/** Level and width as the sliders show them, in the image's own intensities. */
export function levels() {
  const { low, high } = bounds() ?? WHOLE;
  const { low: least, high: most } = channelOf(shown());
  const unit = most - least || 1;
  return { level: least + (unit * (low + high)) / 2, width: unit * (high - low), least, most };
}

export function setLevels({ level, width }) {
  const { least, most } = levels();
  const unit = most - least || 1;
  const [middle, half] = [(level - least) / unit, Math.max(width / unit, 1e-3) / 2];
  set(middle - half, middle + half);
}

/** Brightness 0 to 255 for each of the 65536 intensities. */
export function table() {
  const { low, high } = bounds() ?? WHOLE;
  const grey = new Uint8ClampedArray(FULL + 1);
  for (let value = 0; value <= FULL; value++) grey[value] = (255 * (value / FULL - low)) / (high - low);
  return grey;
}
