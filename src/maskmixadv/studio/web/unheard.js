// What was sent and got no answer: it may be saved all the same, and is then no other page's work.

const sent = new Map(); // key of strokes, or of a mask -> digests of what was sent

const digest = async (labels) => new Uint8Array(await crypto.subtle.digest("SHA-256", labels)).join();

/** No answer came to `labels`, so nobody knows whether they are saved. */
export async function unheard(key, labels) {
  if (!sent.has(key)) sent.set(key, new Set());
  sent.get(key).add(await digest(labels));
}

/** What the server has is known again. */
export const heard = (key) => sent.delete(key);

/** Whether what the server has is what this page has sent. */
export const isOwn = async (key, labels) => sent.has(key) && sent.get(key).has(await digest(labels));
