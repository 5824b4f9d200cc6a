// Calls to the server. The token comes in the address's fragment, so that it stands in no log.

let token = location.hash.slice(1);
// A restarted server prints a new address; pasting it into the same tab goes on where the page was.
addEventListener("hashchange", () => (token = location.hash.slice(1)));

export class ServerError extends Error {
  /** @param {number} status 0 where the server did not answer at all */
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** Whether trying again later can help: the server is away, was restarted, or stumbled. */
  get passing() {
    return this.status === 0 || this.status === 401 || this.status === 403 || this.status >= 500;
  }
}

async function call(method, path, body, type) {
  const headers = { "X-Token": token };
  if (type) headers["Content-Type"] = type;
  let response;
  try {
    response = await fetch(`api/${path}`, { method, headers, body, cache: "no-store" });
  } catch {
    throw new ServerError(0, "the studio's server does not answer; is it still running?");
  }
  if (!response.ok) throw new ServerError(response.status, await reason(response));
  return response;
}

async function reason(response) {
  if (response.status === 401 || response.status === 403) {
    return "the server does not know this page; open the address that it printed";
  }
  try {
    return (await response.json()).error;
  } catch {
    return `the server answered ${response.status}`;
  }
}

const json = async (...args) => (await call(...args)).json();
const send = (method, path, value) => json(method, path, JSON.stringify(value), "application/json");
const bytes = async (path) => (await call("GET", path)).arrayBuffer();
const slice = (name, z) => `cases/${encodeURIComponent(name)}/slices/${z}`;

export const getFolder = () => json("GET", "folder");
export const putClasses = (classes) => send("PUT", "classes", { classes });
export const putImage = (file) =>
  json("PUT", `images/${encodeURIComponent(file.name)}`, file, "application/octet-stream");

/** Intensities, 0 to 65535 from the channel's lowest to its highest; red, green and blue in turn if it is in colour. */
export const getImage = async (name, z, channel) =>
  new Uint16Array(await bytes(`${slice(name, z)}/image?channel=${channel}`));
/** @param {"scribble"|"prediction"|"disagreement"} what */
export const getPlane = async (name, z, what) => new Uint8Array(await bytes(`${slice(name, z)}/${what}`));
export const putScribble = (name, z, labels, seconds) =>
  json("PUT", `${slice(name, z)}/scribble?seconds=${seconds.toFixed(1)}`, labels, "application/octet-stream");
/** What strokes say of a slice; null where they say nothing, or something newer was asked for. */
export async function getProposal(name, z, labels) {
  const answer = await call("POST", `${slice(name, z)}/proposal`, labels, "application/octet-stream");
  return answer.status === 204 ? null : new Uint8Array(await answer.arrayBuffer());
}
export const acceptProposal = (name, z, labels) =>
  json("PUT", `${slice(name, z)}/proposal`, labels, "application/octet-stream");
/** Proposals of the slices with strokes and those between, as a map from slice to labels; null where there are none. */
export async function fillCase(name) {
  const answer = await call("POST", `cases/${encodeURIComponent(name)}/fill`);
  if (answer.status === 204) return null;
  const slices = answer.headers.get("X-Slices").split(",").map(Number);
  const labels = new Uint8Array(await answer.arrayBuffer());
  const size = labels.length / slices.length;
  return new Map(slices.map((z, i) => [z, labels.slice(i * size, (i + 1) * size)]));
}
/** What the running training's network says of a slice, as {labels, step}; null while that is not known. */
export async function getPreview(name, z) {
  const answer = await call("GET", `${slice(name, z)}/preview`);
  if (answer.status === 204) return null;
  return { labels: new Uint8Array(await answer.arrayBuffer()), step: Number(answer.headers.get("X-Step")) };
}
export const putReview = (name, z, verdict) => send("PUT", `${slice(name, z)}/review`, { verdict });

export const getQueue = () => json("GET", "queue");
export const getTraining = () => json("GET", "train");
export const startTraining = (options) => send("POST", "train", options);
export const stopTraining = () => json("DELETE", "train");
export const getClinical = () => json("GET", "clinical");
export const exportFolder = (what) => send("POST", "export", { what });
