// What the server last had of each slice's mask, by the mask's key, so that two pages never paint over one another's.

export const NONE = "none"; // nobody painted on the slice
const known = new Map(); // key -> {version, base}

/** The server has another version, or painting begins with another base; what is not named stays. */
export const holdsMask = (key, change) => known.set(key, { version: NONE, ...known.get(key), ...change });
export const maskVersion = (key) => known.get(key)?.version ?? NONE;
export const maskBase = (key, labels) => known.get(key)?.base ?? labels;
