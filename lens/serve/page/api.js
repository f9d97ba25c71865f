// Talking to the service: one way for all requests, with keys, waiting and sentences for the person.

import { later } from "./dom.js";

const RETRIES = { 429: 5, 503: 2 }; // a service out of time is not to be pressed
const LONGEST_WAIT = 30; // seconds

/** What went wrong, as one sentence. kind: the service's, or "network" where it did not answer at all. */
export class ApiError extends Error {
  constructor(sentence, kind, status = 0) {
    super(sentence);
    this.kind = kind;
    this.status = status;
  }
}

export const isAbort = (error) => error?.name === "AbortError";

let askForKey = async () => false;

/** How a key is asked for: a function to a promise, true once the service took the key. */
export function onMissingKey(ask) {
  askForKey = ask;
}

/**
 * The JSON of an answer.
 *
 * options: json or form, the body; signal; onProgress(share of the upload, 0 to 1);
 * onWait({seconds, attempt, of}) when the service is busy and is asked again.
 * Throws ApiError, or AbortError where the signal ended it.
 */
export async function call(path, options = {}) {
  for (let attempt = 1; ;) {
    const reply = options.form ? await sendForm(path, options) : await sendPlain(path, options);
    if (reply.status < 400) return reply.body;
    if (isBusy(reply) && attempt <= RETRIES[reply.status]) {
      const seconds = Math.min(LONGEST_WAIT, Math.max(0.2, Number(reply.wait) || 1));
      options.onWait?.({ seconds, attempt, of: RETRIES[reply.status] });
      await later(seconds * 1000, options.signal);
      attempt += 1;
    } else if (reply.status !== 401 || path === "/api/key" || !(await askForKey())) {
      throw refusal(reply);
    }
  }
}

const isBusy = ({ status, body }) => status === 429 || (status === 503 && body?.error?.kind === "busy");

function refusal({ status, body }) {
  const error = body?.error;
  const sentence =
    error?.sentence ?? `The service answered with status ${status} and no explanation; its log says more.`;
  return new ApiError(sentence, error?.kind ?? "server", status);
}

const silence = () =>
  new ApiError("The service does not answer. It may have stopped, or is just starting.", "network");

async function sendPlain(path, { json, signal }) {
  const given =
    json === undefined
      ? {}
      : {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(json),
        };
  try {
    const reply = await fetch(path, { ...given, signal, credentials: "same-origin" });
    return { status: reply.status, wait: reply.headers.get("Retry-After"), body: parsed(await reply.text()) };
  } catch (error) {
    throw isAbort(error) ? error : silence();
  }
}

/** XMLHttpRequest, since fetch does not tell how much of an upload has left. */
function sendForm(path, { form, signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.open("POST", path);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress?.(event.loaded / event.total);
    request.onload = () =>
      resolve({
        status: request.status,
        wait: request.getResponseHeader("Retry-After"),
        body: parsed(request.responseText),
      });
    request.onerror = () => reject(silence());
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    request.onloadend = () => signal?.removeEventListener("abort", stop);
    if (signal?.aborted) return reject(new DOMException("stopped", "AbortError"));
    signal?.addEventListener("abort", stop);
    request.send(form);
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** An item id inside a path: its slashes stay, all else is escaped. */
export const itemPath = (id) => id.split("/").map(encodeURIComponent).join("/");

export const thumbnailOf = (id, model) =>
  `/api/thumbnails/${itemPath(id)}?model=${encodeURIComponent(model)}`;
export const imageOf = (id, model) => `/api/images/${itemPath(id)}?model=${encodeURIComponent(model)}`;

export const openItem = (id, model, options) =>
  call(`/api/items/${itemPath(id)}?model=${encodeURIComponent(model)}`, options);

/** A page of the catalogue: {total, items}. where: offset, limit, category, text. */
export function listItems(model, where, options) {
  const asked = new URLSearchParams({ model });
  for (const [name, value] of Object.entries(where))
    if (value !== "" && value !== undefined) asked.set(name, value);
  return call(`/api/items?${asked}`, options);
}

export const openModels = (run) => call(run ? `/api/models?run=${encodeURIComponent(run)}` : "/api/models");
