// The link that restores a query: its JSON, as base64url, behind the #, which browsers never send to a server.

import { clampWeight, pictures, query, restore, service } from "./query.js";
import { termFromLink } from "./pictures.js";
import { button, byId, dialog, h, notice } from "./dom.js";

const MARK = "#q=";
const CHOICES = {
  k: [10, 20, 50, 100],
  together: ["side", "fused"],
  fusion: ["rrf", "scores"],
  fold: [true, false],
};

function toBase64Url(text) {
  let bytes = "";
  for (const byte of new TextEncoder().encode(text)) bytes += String.fromCharCode(byte);
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function fromBase64Url(text) {
  const bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return new TextDecoder().decode(Uint8Array.from(bytes, (letter) => letter.charCodeAt(0)));
}

function written(term) {
  if (term.kind === "text") return { text: term.text, weight: term.weight };
  if (term.kind === "item") return { item: term.item, weight: term.weight };
  return term.small ? { image: term.small, weight: term.weight } : null;
}

/** The part of the address that holds this query; empty where nothing is asked. */
export function encode() {
  const terms = query.terms.map(written).filter(Boolean);
  if (!terms.length) return "";
  const { where, models, k, together, fusion, fold } = query;
  return MARK + toBase64Url(JSON.stringify({ terms, where, models, k, together, fusion, fold }));
}

function readTerm(given) {
  const weight = clampWeight(given.weight ?? 1);
  if (typeof given.text === "string") return { kind: "text", text: given.text, weight };
  if (typeof given.item === "string") return { kind: "item", item: given.item, weight };
  if (typeof given.image === "string") return termFromLink(given.image, weight);
  throw new Error("a term is of no known kind");
}

/** The query of an address; null where it holds none. Throws where it is damaged. */
export function decode(hash) {
  if (!hash.startsWith(MARK)) return null;
  const given = JSON.parse(fromBase64Url(hash.slice(MARK.length)));
  const found = { terms: given.terms.slice(0, 32).map(readTerm) };
  if (given.where && typeof given.where === "object") found.where = given.where;
  if (Array.isArray(given.models)) found.models = given.models.map(String).slice(0, service.limits.models);
  for (const [name, allowed] of Object.entries(CHOICES))
    if (allowed.includes(given[name])) found[name] = given[name];
  return found;
}

/** Take up the query in the address. Gives false where it is damaged. */
export function readAddress() {
  try {
    restore(decode(location.hash) ?? { terms: [] });
    return true;
  } catch {
    restore({ terms: [] });
    return false;
  }
}

/** Write the query into the address; Back leads to the one before. */
export function writeAddress() {
  const hash = encode();
  if (hash !== location.hash) history.pushState(null, "", location.pathname + location.search + hash);
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** What the link holds, as a sentence. */
function held() {
  if (!encode()) return "Nothing is left that a link could hold.";
  return pictures().some(written)
    ? "The picture is in the link itself, made small, and on no server. Who has the link has the picture."
    : "The link holds the query. Nothing is kept on a server.";
}

/** Copy the link, show it, and say what is in it. */
export async function showLink() {
  const missing = query.terms.filter((term) => !written(term)).map((term) => term.label);
  const done = await copied(location.href);
  const field = h("input", {
    type: "text",
    id: "link-field",
    readonly: true,
    value: location.href,
    "aria-label": "Link to this query",
  });
  const said = h("p", { id: "link-copied", role: "status" }, done ? "Copied." : "Press Ctrl+C to copy it.");
  const again = button("link", "Copy", {
    class: "primary",
    onclick: async () => {
      field.select();
      said.textContent = (await copied(location.href)) ? "Copied." : "Press Ctrl+C to copy it.";
    },
  });
  dialog(
    "link-dialog",
    "Link to this query",
    h(
      "div",
      { class: "stack" },
      h("div", { class: "words-row" }, field, again),
      said,
      missing.length
        ? notice(`This browser cannot read ${missing.join(", ")}, so the link leaves that out.`, {
            test: "link-lacks",
          })
        : null,
      h("p", { class: "hint" }, held()),
    ),
  );
  byId("link-field").select();
}
