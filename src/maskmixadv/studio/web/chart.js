// Curves of a training, as SVG.

import { drawing } from "./element.js";

const [WIDTH, HEIGHT] = [264, 132];
const AREA = { left: 36, right: 8, top: 8, bottom: 20 };
const POINTS = 240;
const MANY = 24; // points from which on a curve is smoothed

/**
 * @param {[number, number][]} points step and value
 * @param {{label: string, from?: number, to?: number, steps: number, smooth?: boolean}} how
 */
export function chart(points, { label, from, to, steps, smooth = false }) {
  const values = points.map(([, value]) => value).filter(Number.isFinite);
  const [low, high] = bounds(values, from, to);
  const x = (step) => AREA.left + (step / Math.max(steps, 1)) * (WIDTH - AREA.left - AREA.right);
  const y = (value) => HEIGHT - AREA.bottom - ((value - low) / (high - low)) * (HEIGHT - AREA.top - AREA.bottom);
  const line = thinned(points);
  const lines = smooth && line.length >= MANY ? [["raw", line], ["curve", smoothed(line)]] : [["curve", line]];
  return drawing(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${label}: ${spoken(points)}` },
    ...[low, (low + high) / 2, high].map((value) => rule(value, y(value))),
    ...[0, steps].map((step) => mark(step, x(step), step ? "end" : "start")),
    ...lines.map(([name, at]) => drawing("polyline", { class: name, points: at.map((p) => `${x(p[0])},${y(p[1])}`).join(" ") })),
    ...(line.length >= MANY ? [] : points.map(([step, value]) => drawing("circle", { cx: x(step), cy: y(value), r: 2.5 }))),
  );
}

function bounds(values, from, to) {
  const low = from ?? Math.min(...values, 0);
  const high = to ?? Math.max(...values, low + 1e-6);
  return [low, high];
}

function rule(value, y) {
  return drawing(
    "g",
    { class: "rule" },
    drawing("line", { x1: AREA.left, x2: WIDTH - AREA.right, y1: y, y2: y }),
    drawing("text", { x: AREA.left - 5, y: y + 3.5, "text-anchor": "end" }, value.toPrecision(2)),
  );
}

const mark = (step, x, anchor) =>
  drawing("text", { x, y: HEIGHT - 5, "text-anchor": anchor }, step ? `step ${step}` : "0");

/** Means of equal parts, so that a long run draws as fast as a short one. */
function thinned(points) {
  if (points.length <= POINTS) return points;
  const size = points.length / POINTS;
  return Array.from({ length: POINTS }, (_, i) => {
    const part = points.slice(Math.floor(i * size), Math.floor((i + 1) * size));
    return [part.at(-1)[0], part.reduce((sum, [, value]) => sum + value, 0) / part.length];
  });
}

function smoothed(points) {
  let mean = points[0]?.[1];
  return points.map(([step, value]) => [step, (mean = 0.85 * mean + 0.15 * value)]);
}

function spoken(points) {
  if (!points.length) return "nothing yet";
  const [step, value] = points.at(-1);
  return `${value.toPrecision(3)} at step ${step}`;
}
