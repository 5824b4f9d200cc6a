// Pixels of a region: inside a polygon, or joined to a pixel.

/**
 * Pixels whose middle lies inside a polygon; where it crosses itself, those that it goes round an odd number of times.
 * @param {[number, number][]} points @param {{h: number, w: number}} grid
 */
export function inside(points, { h, w }) {
  const found = [];
  for (let row = 0; row < h; row++) {
    const y = row + 0.5;
    const cuts = points
      .map(([ax, ay], i) => [ax, ay, ...points[(i + 1) % points.length]])
      .filter(([, ay, , by]) => ay <= y !== by <= y)
      .map(([ax, ay, bx, by]) => ax + ((y - ay) / (by - ay)) * (bx - ax))
      .sort((one, other) => one - other);
    for (let i = 0; i + 1 < cuts.length; i += 2) {
      const last = Math.min(w - 1, Math.ceil(cuts[i + 1] - 0.5) - 1);
      for (let column = Math.max(0, Math.ceil(cuts[i] - 0.5)); column <= last; column++) found.push(row * w + column);
    }
  }
  return found;
}

/** Pixels that are joined to pixel `start` by their sides and have its label, and that `allowed` lets through. */
export function joined(labels, { h, w }, start, allowed = () => true) {
  if (!allowed(start)) return [];
  const seen = new Uint8Array(labels.length);
  const found = [start];
  seen[start] = 1;
  for (let at = 0; at < found.length; at++) {
    const index = found[at];
    const column = index % w;
    const near = [index - w, index + w, column > 0 ? index - 1 : -1, column < w - 1 ? index + 1 : -1];
    for (const next of near) {
      if (next < 0 || next >= h * w || seen[next] || labels[next] !== labels[start] || !allowed(next)) continue;
      seen[next] = 1;
      found.push(next);
    }
  }
  return found;
}
