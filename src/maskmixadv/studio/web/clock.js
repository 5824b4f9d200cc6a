// Seconds spent drawing, by slice: time passes while somebody is at work, not while the page lies open.

import { keyOf, state, staysHere } from "./state.js";

const IDLE = 4000; // ms without a move after which nobody is at work

const spent = new Map();
let last = null;

/** Somebody is at work on the shown slice. */
export function atWork() {
  const now = performance.now();
  if (state.place && last !== null && now - last < IDLE) secondsAt(state.place).add((now - last) / 1000);
  last = now;
  staysHere();
}

/** The slice's clock: `take` reads and empties it. */
export function secondsAt(place) {
  const key = keyOf(place);
  return {
    add: (seconds) => spent.set(key, (spent.get(key) ?? 0) + seconds),
    take: () => {
      const seconds = spent.get(key) ?? 0;
      spent.delete(key);
      return seconds;
    },
  };
}
