// The query, shown as cards: a picture or words, how much each counts, and a way to take it out.

import { button, byId, h, icon } from "./dom.js";
import { openItem, thumbnailOf } from "./api.js";
import { clampWeight, onChange, query, removeTerm, updateTerm } from "./query.js";
import { openCropper } from "./cropper.js";
import { pictureTerm } from "./pictures.js";

const signed = (weight) => `${weight > 0 ? "+" : weight < 0 ? "−" : ""}${Math.abs(weight).toFixed(1)}`;

const meaning = (weight) => (weight > 0 ? "more like this" : weight < 0 ? "less like this" : "switched off");

function pictureOf(term) {
  if (term.kind === "text") return h("span", { class: "term-sign" }, icon("words"));
  const address =
    term.kind === "image"
      ? term.preview
      : (term.thumbnail ?? (query.models[0] && thumbnailOf(term.item, query.models[0])));
  if (!address) return h("span", { class: "term-sign" }, icon("image"));
  return h("img", { src: address, alt: term.label ?? "", class: "term-picture" });
}

function nameOf(term) {
  if (term.kind === "text") return `“${term.text}”`;
  return term.label ?? term.item;
}

/** An item that came from a link has only its id: ask for its caption. */
async function nameItem(term, target) {
  if (term.kind !== "item" || term.label || !query.models[0]) return;
  try {
    const item = await openItem(term.item, query.models[0]);
    term.label = item.caption || item.category || item.item_id;
    target.textContent = term.label;
  } catch {
    /* its id stands there, and the search says what is wrong with it */
  }
}

async function crop(term) {
  await openCropper(term, async (box) => {
    const part = await pictureTerm(term.original, box, term.weight);
    updateTerm(term.key, { ...part, label: term.label, version: (term.version ?? 0) + 1 });
  });
}

function weightOf(term) {
  const said = h(
    "output",
    { "data-test": "weight-value" },
    `${signed(term.weight)} · ${meaning(term.weight)}`,
  );
  const slider = h("input", {
    type: "range",
    min: -2,
    max: 2,
    step: 0.1,
    value: term.weight,
    id: `${term.key}-weight`,
    "data-test": "weight",
    "aria-label": `Weight of ${nameOf(term)}`,
    "aria-valuetext": `${signed(term.weight)}, ${meaning(term.weight)}`,
    oninput: (event) => {
      const weight = clampWeight(event.target.value);
      said.textContent = `${signed(weight)} · ${meaning(weight)}`;
      event.target.setAttribute("aria-valuetext", `${signed(weight)}, ${meaning(weight)}`);
      event.target.closest(".term").dataset.sign = Math.sign(weight);
    },
    onchange: (event) => updateTerm(term.key, { weight: clampWeight(event.target.value) }),
  });
  return h("div", { class: "weight" }, h("div", { class: "slide" }, slider), said);
}

function cardOf(term) {
  const name = h("span", { class: "term-name" }, nameOf(term));
  nameItem(term, name);
  return h(
    "li",
    {
      class: "term",
      "data-test": "term",
      dataset: { key: term.key, kind: term.kind, sign: Math.sign(term.weight) },
    },
    pictureOf(term),
    h(
      "div",
      { class: "term-body" },
      h(
        "div",
        { class: "term-head" },
        name,
        term.kind === "image" && term.preview
          ? button("crop", "Crop", {
              class: "quiet small",
              "data-test": "crop",
              "aria-label": `Crop ${nameOf(term)}`,
              onclick: () => crop(term),
            })
          : null,
        button("close", null, {
          class: "quiet square small",
          "data-test": "remove-term",
          "aria-label": `Remove ${nameOf(term)}`,
          onclick: () => remove(term),
        }),
      ),
      weightOf(term),
    ),
  );
}

function remove(term) {
  const place = query.terms.indexOf(term);
  removeTerm(term.key);
  const rest = byId("terms").querySelectorAll("[data-test=remove-term]");
  (rest[Math.min(place, rest.length - 1)] ?? byId("choose-button")).focus();
}

/** Draw the cards anew, and leave the focus where it was. */
function show() {
  const list = byId("terms");
  const focused = document.activeElement?.closest?.(".term") && document.activeElement.id;
  list.replaceChildren(...query.terms.map(cardOf));
  list.hidden = query.terms.length === 0;
  if (focused) byId(focused)?.focus();
}

export const startTerms = () => onChange(show);
