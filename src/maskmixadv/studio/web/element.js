// Elements made in one expression. No markup from strings: names of files are never read as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** `element("button", {class: "x", onclick: f}, "text", child)`; attributes that are null or false are left out. */
export const element = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);
export const drawing = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** A class's colour; set by script, as the page's policy forbids style attributes. */
export function swatch(colour) {
  const node = element("span", { class: "swatch", "aria-hidden": "true" });
  node.style.backgroundColor = colour;
  return node;
}

/** Say whether a button can be used. One that can't is heeded no more, and keeps the keyboard's focus, which a disabled one loses. */
export const enable = (button, can) => (button.ariaDisabled = can ? null : "true");

document.addEventListener(
  "click",
  (event) => {
    if (!event.target.closest?.("[aria-disabled=true]")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  },
  true,
);

/** Give a list other children. The keyboard's focus stays on the button with the same data, or the list's first one. */
export function refill(list, children) {
  const kept = list.contains(document.activeElement) ? JSON.stringify(document.activeElement.dataset) : null;
  list.replaceChildren(...children);
  if (kept === null) return;
  const buttons = [...list.querySelectorAll("button")];
  (buttons.find(({ dataset }) => JSON.stringify(dataset) === kept) ?? buttons[0])?.focus({ preventScroll: true });
}

/** Do `act` unless it is under way already. The button keeps the keyboard's focus, which a disabled one loses. */
export async function once(button, act) {
  if (button.ariaDisabled === "true") return undefined;
  button.ariaDisabled = "true";
  try {
    return await act();
  } finally {
    button.ariaDisabled = null;
  }
}

export function clock(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
