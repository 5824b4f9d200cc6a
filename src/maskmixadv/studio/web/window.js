// Window and level: which intensities are shown from black to white; one for each case.

import { emit, shown, state } from "./state.js";

const FULL = 65535;
const windows = new Map();

/** Bounds as fractions of the volume's range; null until an image has been seen. */
export const bounds = () => windows.get(state.place?.name) ?? null;

export function ensure(image) {
  if (image && !bounds()) auto(image);
}

/** From the 1st to the 99.5th percentile of the slice. */
export function auto(image) {
  if (!image) return;
  const sorted = Float32Array.from(image).sort();
  const at = (fraction) => sorted[Math.floor(fraction * (sorted.length - 1))] / FULL;
  set(at(0.01), at(0.995));
}

function set(low, high) {
  windows.set(state.place.name, { low, high: Math.max(high, low + 1e-3) });
  emit("window");
}

/** Level and width as the sliders show them, in the image's own intensities. */
export function levels() {
  const { low, high } = bounds() ?? { low: 0, high: 1 };
  const { low: least, high: most } = shown();
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
  const { low, high } = bounds() ?? { low: 0, high: 1 };
  const grey = new Uint8ClampedArray(FULL + 1);
  for (let value = 0; value <= FULL; value++) grey[value] = (255 * (value / FULL - low)) / (high - low);
  return grey;
}
