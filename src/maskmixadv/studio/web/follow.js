// When somebody comes back to the page, it shows what holds by now: other pages, and other programs, may have worked.
// So it does when the computer wakes. A page in sight beside another one is not come back to; it follows trainings all the same, and reads the folder again
// while something is refused: the folder may have been renamed back.

import * as api from "./api.js";
import { penIsDown } from "./draw.js";
import { refresh } from "./folder.js";
import { isUnsaved, saveState } from "./save.js";
import { holdsMask, maskVersion, NONE } from "./maskversions.js";
import { penIsDown as brushIsDown } from "./paint.js";
import { isCorrected, maskKey } from "./painting.js";
import { arrays, forgetMask, forgetOtherMasks } from "./slices.js";
import { emit, keyOf, on, state } from "./state.js";
import { telling } from "./status.js";
import { glance, watchTraining } from "./train.js";
import { holds, versionOf } from "./versions.js";

const OFTEN = 3000; // ms between two looks
const BESIDE = 5000; // ms between two looks at trainings
const SLEPT = 60_000; // ms: where two looks at trainings are farther apart, the computer slept; nobody comes back to the page
const TOGETHER = 200; // ms in which refusals are heeded together
let last = -OFTEN;
let later = null;
let beat = Date.now(); // unlike the other clock, it goes on while the computer sleeps
let woken = false; // and the folder is not read since

async function look() {
  if (document.hidden || performance.now() - last < OFTEN || !state.folder) return;
  last = performance.now();
  await refresh();
  await watchTraining(); // another page may have begun one, or ended it
  await readAgain();
  await readMaskAgain();
}

async function readAgain() {
  const { place } = state;
  const { scribble } = arrays();
  if (!place || !scribble || isUnsaved(keyOf(place))) return;
  const before = versionOf(scribble);
  const { labels, version } = await api.getScribble(place.name, place.z);
  if (version === before || versionOf(scribble) !== before) return; // the same, or drawn and saved meanwhile
  if (penIsDown() || isUnsaved(keyOf(place)) || labels.length !== scribble.length) return;
  scribble.set(labels);
  holds(scribble, version);
  for (const event of ["pixels", "arrays"]) emit(event);
  emit("drawn", { place, labels: scribble });
}

async function readMaskAgain() {
  const { place } = state;
  forgetOtherMasks();
  const { mask } = arrays();
  const busy = () => brushIsDown() || isUnsaved(maskKey(place));
  if (!place || !mask || busy()) return;
  if (!isCorrected(place)) {
    if (maskVersion(maskKey(place)) !== NONE) forgetMask(place); // another page has discarded it
    return;
  }
  const before = maskVersion(maskKey(place));
  const { labels, version } = await api.getMask(place.name, place.z);
  if (version === before || maskVersion(maskKey(place)) !== before) return; // the same, or painted and saved meanwhile
  if (busy() || labels.length !== mask.length) return;
  mask.set(labels);
  holdsMask(maskKey(place), { version, base: labels });
  for (const event of ["painted", "arrays"]) emit(event);
}

async function lookBeside() {
  woken ||= Date.now() - beat > SLEPT;
  beat = Date.now();
  if (document.hidden || !state.folder) return;
  try {
    if (woken) {
      last = -OFTEN;
      await look();
      woken = false;
    }
    await glance();
    if (saveState() === "refused" && performance.now() - last > BESIDE) await readNow(); // it may fit again by now
  } catch {
    // the next stroke tells of a server that is away
  }
}

/** Something was refused: the folder says what is left, once in a while. */
function readFolder() {
  later ??= setTimeout(telling(readNow), Math.max(TOGETHER, last + OFTEN - performance.now()));
}

async function readNow() {
  later = null;
  last = performance.now();
  await refresh();
}

export function startFollow() {
  on("refused", readFolder);
  setInterval(lookBeside, BESIDE);
  addEventListener("focus", telling(look));
  document.addEventListener("visibilitychange", telling(look));
}
