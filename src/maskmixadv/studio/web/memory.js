// The tab's memory over a reload and a restarted server: place, tab, zoom, window, tool, what is hidden, and what can be undone.

import { Change } from "./brush.js";
import * as strokes from "./draw.js";
import * as masks from "./paint.js";
import { on, placeToKeep, recallPlace, setOverlay, setTab, setTool, state } from "./state.js";
import { frameNow, setFrame } from "./view.js";
import * as grey from "./window.js";

const KEY = "maskmixadv-tab";
const UNDO = { "maskmixadv-undone": strokes, "maskmixadv-undone-masks": masks }; // each has its own room
const MOST = 1_000_000; // characters of what can be undone

const read = (key) => {
  try {
    return JSON.parse(sessionStorage.getItem(key)) ?? {};
  } catch {
    return {};
  }
};
const kept = read(KEY);
let ready = false;

/** Where the page was: {name, z}, before the folder is known; null for a new tab or another folder. */
const lastPlace = (folder) => (kept.folder === folder.name ? (kept.place ?? null) : null);

function keep() {
  if (!ready || !state.folder) return;
  const { code, size, closing } = state.tool;
  const notes = { folder: state.folder.name, place: placeToKeep(), tab: state.tab, tool: { code, size, closing } };
  const text = JSON.stringify({ ...notes, overlay: state.overlay, frame: frameNow(), windows: grey.all() });
  sessionStorage.setItem(KEY, text);
}

/** A change as runs of pixels that follow one another and change alike: [first, number, before, after]. */
export function pack({ indices, before, after }) {
  const runs = [];
  indices.forEach((index, i) => {
    const last = runs.at(-1);
    if (last && index === last[0] + last[1] && before[i] === last[2] && after[i] === last[3]) last[1] += 1;
    else runs.push([index, 1, before[i], after[i]]);
  });
  return runs;
}

export function unpack(runs) {
  const each = (what) => runs.flatMap((run) => Array.from({ length: run[1] }, (_, i) => what(run, i)));
  return Object.assign(Object.create(Change.prototype), {
    indices: Uint32Array.from(each(([first], i) => first + i)),
    before: Uint8Array.from(each((run) => run[2])),
    after: Uint8Array.from(each((run) => run[3])),
  });
}

/** The latest slices' histories, as many as there is room for. */
function keepUndo(key, { remembered }) {
  const found = {};
  let size = 0;
  for (const [slice, { done, undone, ...more }] of remembered().reverse()) {
    const packed = { done: done.map(pack), undone: undone.map(pack), ...more };
    const length = JSON.stringify(packed).length;
    if (size + length > MOST) continue; // older ones may be smaller
    size += length;
    found[slice] = packed;
  }
  sessionStorage.setItem(key, JSON.stringify({ folder: state.folder?.name, coding: state.folder?.coding, found }));
}

function recallUndo(key, { restored }) {
  const { folder, coding, found } = read(key);
  if (folder !== state.folder.name || coding !== state.folder.coding) return;
  for (const [slice, { done, undone, ...more }] of Object.entries(found)) {
    restored(slice, { done: done.map(unpack), undone: undone.map(unpack), ...more });
  }
}

/** After the folder has come: all but the place, which came with it. */
export function recall() {
  if (!state.folder) return;
  if (kept.folder === state.folder.name) {
    if (kept.tab) setTab(kept.tab);
    if (kept.tool) setTool({ ...kept.tool, code: Math.min(kept.tool.code, state.folder.classes.length - 1) });
    if (kept.overlay) setOverlay(kept.overlay);
    if (kept.windows) grey.setAll(kept.windows);
    if (kept.frame) setFrame(kept.frame);
  }
  for (const [key, of] of Object.entries(UNDO)) recallUndo(key, of);
  ready = true;
}

export function startMemory() {
  recallPlace(lastPlace);
  for (const event of ["place", "tab", "tool", "window", "overlay"]) on(event, keep);
  addEventListener("pagehide", () => {
    keep();
    for (const [key, of] of Object.entries(UNDO)) keepUndo(key, of);
  });
}
