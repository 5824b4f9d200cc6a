// How many pixels of the screen a CSS pixel has. It changes with the browser's zoom, and on another screen.

export const density = () => devicePixelRatio || 1;

/** Empty a canvas, and give it as many pixels as its place on the screen has, in which CSS pixels are drawn. */
export function clear(canvas) {
  const context = canvas.getContext("2d");
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * density()));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  context.setTransform(density(), 0, 0, density(), 0, 0);
  context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
}

/** Call `heed` whenever it changes; an observer of sizes hears nothing where a window moves to another screen. */
export function onDensity(heed) {
  const now = matchMedia(`(resolution: ${density()}dppx)`);
  now.addEventListener("change", () => (heed(), onDensity(heed)), { once: true });
}
