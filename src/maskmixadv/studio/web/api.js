// Calls to the server. The token comes in the address's fragment, so that it stands in no log.

let token = location.hash.slice(1);
let coding = ""; // what labels mean, as the page knows it: the server refuses labels of other classes
let away = false; // the server did not answer: another program may have its port when something answers again
const QUIET = 10_000; // ms without an answer after which that holds, too: the computer slept, or the page was out of sight
let answered = Date.now();
// A restarted server may have a new address; pasting it into the same tab goes on where the page was.
addEventListener("hashchange", () => (token = location.hash.slice(1)));

const UNKNOWN = "the server does not know this page; open the address that it printed";

export class ServerError extends Error {
  /** @param {number} status 0 where the server did not answer at all  @param {string[]} problems what an empty export lacks */
  constructor(status, message, problems = []) {
    super(message);
    Object.assign(this, { status, problems });
  }

  /** Whether somebody else has changed what the page was about to change. */
  get stale() {
    return this.status === 409;
  }

  /** Whether trying again later can help: the server is away, was restarted, or stumbled. */
  get passing() {
    return this.status === 0 || this.status === 401 || this.status === 403 || this.status >= 500;
  }
}

/** Make sure that what answers knows the token, before it is sent there. */
async function greet() {
  const nonce = crypto.randomUUID();
  const key = await crypto.subtle.importKey("raw", bytesOf(token), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const signed = new Uint8Array(await crypto.subtle.sign("HMAC", key, bytesOf(nonce)));
  const wanted = [...signed].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const answer = await fetch(`known/${nonce}`, { cache: "no-store" });
  if (!answer.ok || (await answer.json()).proof !== wanted) throw new ServerError(403, UNKNOWN);
  away = false;
  answered = Date.now();
}

const bytesOf = (text) => new TextEncoder().encode(text);

let changed = 0; // how often a call that changes the folder has begun or ended
/** A number that is another one once such a call has begun or ended: an answer that was asked for before may not know of it. */
export const changes = () => changed;

async function call(method, ...args) {
  if (method === "PUT" || method === "DELETE") changed += 1;
  try {
    return await called(method, ...args);
  } finally {
    if (method === "PUT" || method === "DELETE") changed += 1;
  }
}

async function called(method, path, body, type, signal) {
  const headers = { "X-Token": token };
  if (type) headers["Content-Type"] = type;
  // Handing over an array of millions of bytes holds the page for hundreds of ms; a blob, which is a copy, does not.
  const sent = ArrayBuffer.isView(body) ? new Blob([body]) : body;
  let response;
  if (Math.abs(Date.now() - answered) > QUIET) away = true; // either way, as a clock may be set back
  try {
    if (away) await greet();
    response = await fetch(`api/${path}`, { method, headers, body: sent, cache: "no-store", signal });
    answered = Date.now();
  } catch (error) {
    if (error instanceof ServerError || error.name === "AbortError") throw error;
    away = true;
    throw new ServerError(0, "the studio's server does not answer; is it still running?");
  }
  if (!response.ok) throw new ServerError(response.status, ...(await reason(response)));
  return response;
}

async function reason(response) {
  if (response.status === 401 || response.status === 403) {
    return [UNKNOWN];
  }
  try {
    const { error, problems } = await response.json();
    return [error, problems];
  } catch {
    return [`the server answered ${response.status}`];
  }
}

const json = async (...args) => (await call(...args)).json();
const send = (method, path, value) => json(method, path, JSON.stringify(value), "application/json");
const bytes = async (path, signal) => (await call("GET", path, undefined, undefined, signal)).arrayBuffer();
const slice = (name, z) => `cases/${encodeURIComponent(name)}/slices/${z}`;

export async function getFolder() {
  const folder = await json("GET", "folder");
  coding = folder.coding;
  return folder;
}
/**
 * @param {{name: string, colour: string, was: number | null}[]} classes was: the place before; null: a new class
 * @param {{name: string, colour: string}[]} seen the classes before; others on the server are a 409
 */
export const putClasses = (classes, seen) => send("PUT", "classes", { classes, placed: true, seen });
export const putImage = (file) =>
  json("PUT", `images/${encodeURIComponent(file.name)}`, file, "application/octet-stream");
/** The files of a DICOM series, one after another in one body, each after a line that announces it. */
export const putSeries = (name, files) => {
  const parts = files.flatMap((file) => [`${JSON.stringify({ name: file.name, size: file.size })}\n`, file]);
  return json("PUT", `images/${encodeURIComponent(name)}/series`, new Blob(parts), "application/octet-stream");
};

/** Intensities, 0 to 65535 from the channel's lowest to its highest; red, green and blue in turn if it is in colour. */
export const getImage = async (name, z, channel, signal) =>
  new Uint16Array(await bytes(`${slice(name, z)}/image?channel=${channel}`, signal));
/** A plane across the slices, through a row (axis 1) or a column (axis 2) of each; slices along its rows. */
export const getAcross = async (name, axis, index, channel, signal) =>
  new Uint16Array(await bytes(`cases/${encodeURIComponent(name)}/across/${axis}/${index}/image?channel=${channel}`, signal));
/** @param {"prediction"|"disagreement"} what */
export const getPlane = async (name, z, what, signal) => new Uint8Array(await bytes(`${slice(name, z)}/${what}`, signal));
async function labelled(path, signal) {
  const answer = await call("GET", path, undefined, undefined, signal);
  return { labels: new Uint8Array(await answer.arrayBuffer()), version: answer.headers.get("X-Version") };
}
export const getScribble = (name, z, signal) => labelled(`${slice(name, z)}/scribble`, signal);
/** @param {string | null} version of the strokes that `labels` were drawn on; another one on the server is a 409 */
export const putScribble = (name, z, labels, seconds, version) =>
  json(
    "PUT",
    `${slice(name, z)}/scribble?seconds=${seconds.toFixed(1)}&coding=${coding}${version ? `&version=${version}` : ""}`,
    labels,
    "application/octet-stream",
  );
/** @param {{verdict: string | null, run: string | null}} seen what the page shows; something else is a 409 */
export const putReview = (name, z, verdict, seen) => send("PUT", `${slice(name, z)}/review`, { verdict, seen });

/** A slice's mask, as {labels, version}. @param {"corrected"|"given"} of painted here, or come with the folder */
export const getMask = (name, z, of = "corrected") => labelled(`${slice(name, z)}/mask?of=${of}`);
/** @param {string} version of the mask that `labels` were painted on; another one on the server is a 409 */
export const putMask = (name, z, labels, seconds, version) =>
  json(
    "PUT",
    `${slice(name, z)}/mask?seconds=${seconds.toFixed(1)}&coding=${coding}&version=${version}`,
    labels,
    "application/octet-stream",
  );
export const deleteMask = (name, z, version) => json("DELETE", `${slice(name, z)}/mask?version=${version}`);
/** @param {string} run whose labels were shown; a later one on the server is a 409 */
export const putLooked = (name, z, run) => json("PUT", `${slice(name, z)}/looked?run=${run}`);
export const putUse = (name, use) => send("PUT", `cases/${encodeURIComponent(name)}/use`, { use });
/** What strokes say of a slice; null where they say nothing, or something newer was asked for. */
export async function getProposal(name, z, labels) {
  const answer = await call("POST", `${slice(name, z)}/proposal?coding=${coding}`, labels, "application/octet-stream");
  return answer.status === 204 ? null : new Uint8Array(await answer.arrayBuffer());
}
/** @param {{verdict: string | null, run: string | null}} seen as for `putReview` */
export const acceptProposal = (name, z, labels, { verdict, run }) =>
  json(
    "PUT",
    `${slice(name, z)}/proposal?coding=${coding}&verdict=${verdict ?? "none"}&run=${run ?? ""}`,
    labels,
    "application/octet-stream",
  );
/**
 * Proposals of slices, as a map from slice to labels; null where there are none.
 * @param {"fill"|"shapes"} how by walks from the slices with strokes, or by shapes between known slices
 */
export async function fillCase(name, how) {
  const answer = await call("POST", `cases/${encodeURIComponent(name)}/${how}`);
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

export const getQueue = () => json("GET", "queue");
export const getTraining = () => json("GET", "train");
export const getReady = () => json("GET", "ready");
export const startTraining = (options) => send("POST", "train", options);
export const stopTraining = () => json("DELETE", "train");
export const getClinical = () => json("GET", "clinical");
export const exportFolder = (what) => send("POST", "export", { what });
