// Closed lines round the structures of a slice, along its pixels' edges, so that they can be dashed.

/** One path a class, as `code => Path2D`; 0 and labels of no class have none. */
export function traced(labels, [h, w], count) {
  const paths = Array.from({ length: count }, () => new Path2D());
  const ends = Array.from({ length: count }, () => new Map()); // corner -> the corners that edges lead to
  const at = (row, column) => (row < 0 || column < 0 || row >= h || column >= w ? 0 : labels[row * w + column]);
  const corner = (row, column) => row * (w + 1) + column;
  const edge = (label, from, to) => {
    if (!ends[label].has(from)) ends[label].set(from, []);
    ends[label].get(from).push(to);
  };
  for (let row = 0; row < h; row++) {
    for (let column = 0; column < w; column++) {
      const label = labels[row * w + column];
      if (!label || label >= count) continue;
      const index = row * w + column;
      // Most pixels have no edge: what is inside a structure is passed over at once.
      if (row && column && row < h - 1 && column < w - 1 && labels[index - w] === label && labels[index + w] === label && labels[index - 1] === label && labels[index + 1] === label) continue;
      const corners = [corner(row, column), corner(row, column + 1), corner(row + 1, column + 1), corner(row + 1, column)];
      // Clockwise, so that each edge begins where another of the same label ends.
      if (at(row - 1, column) !== label) edge(label, corners[0], corners[1]);
      if (at(row, column + 1) !== label) edge(label, corners[1], corners[2]);
      if (at(row + 1, column) !== label) edge(label, corners[2], corners[3]);
      if (at(row, column - 1) !== label) edge(label, corners[3], corners[0]);
    }
  }
  ends.forEach((from, label) => loops(from, w + 1, paths[label]));
  return paths;
}

function loops(ends, width, path) {
  const point = (corner) => [corner % width, Math.floor(corner / width)];
  for (const start of ends.keys()) {
    while (ends.get(start)?.length) {
      path.moveTo(...point(start));
      for (let next = take(ends, start); next !== start; next = take(ends, next)) path.lineTo(...point(next));
      path.closePath();
    }
  }
}

const take = (ends, corner) => ends.get(corner).pop();
