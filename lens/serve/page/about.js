// What a person may want to know of a model: its bands, its index, its run.

import { count, h, icon } from "./dom.js";
import { modelNamed } from "./query.js";

/** A model in one line. */
export const facts = (model) =>
  [
    count(model.items, "item"),
    `${model.dimension} numbers each`,
    model.takes_texts ? "pictures and words" : "pictures only",
  ].join(", ");

const BANDS = [
  ["high", "High"],
  ["medium", "Medium"],
  ["low", "Low"],
];
const KINDS = { image: "pictures", text: "words", mixed: "pictures with words" };

/** Whether a model's index says from which score its results of such a query are high; for pictures that is fixed. */
export const judges = (name, modality) => modality === "image" || Boolean(modelNamed(name)?.bands?.[modality]);

/** The coloured name of a band, null where none is known: its sign and word tell it without the colour. */
export function bandOf(name) {
  const [, word] = BANDS.find(([key]) => key === name) ?? [null, "Not calibrated"];
  return h(
    "span",
    {
      class: `band ${name ?? ""}`,
      "data-test": "band",
      title: name ? null : "This index does not say which scores are high for such a query.",
    },
    BANDS.some(([key]) => key === name) ? icon(name) : null,
    word,
  );
}

const share = (value) =>
  value === null || value === undefined ? "never" : `from ${(100 * value).toFixed(0)} %`;

/** How often results of a band were right when it was measured, with the 95 % interval. */
function proven(row) {
  if (!row?.results || typeof row.precision !== "number") return null;
  const percent = (value) => (100 * value).toFixed(0);
  const range = `${percent(row.precision_low)} to ${percent(row.precision_high)}`;
  const words = `right in ${percent(row.precision)} % (${range}) of ${row.results.toLocaleString("en")}`;
  return h("span", { class: "hint" }, words);
}

function bandRows(model) {
  return Object.entries(model.bands ?? {}).map(([kind, bands]) =>
    h(
      "div",
      { class: "band-kind" },
      h("p", {}, h("strong", {}, `Asked by ${KINDS[kind] ?? kind}`)),
      h(
        "ul",
        {},
        [
          ["high", share(bands.high)],
          ["medium", share(bands.medium)],
          ["low", "below"],
        ].map(([name, from]) =>
          h(
            "li",
            { class: "band-line" },
            bandOf(name),
            from,
            proven(bands.bands?.find((row) => row.band === name)),
          ),
        ),
      ),
      bands.means ? h("p", { class: "hint" }, bands.means) : null,
    ),
  );
}

/** What a person may want to know of a model, folded away. */
export function aboutModel(name) {
  const model = modelNamed(name);
  if (!model) return null;
  const written = model.index_written ? new Date(model.index_written) : null;
  return h(
    "details",
    { class: "about", "data-test": "about-model" },
    h("summary", {}, "About this model"),
    h(
      "p",
      { class: "hint" },
      `${facts(model)}. ${model.catalogue ? `Catalogue: ${model.catalogue}. ` : ""}` +
        (written && !Number.isNaN(written.valueOf())
          ? `Index written ${written.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}.`
          : ""),
    ),
    h("div", { class: "bands" }, bandRows(model)),
  );
}

/** The way to the run in MLflow. */
export function runLink(name) {
  const model = modelNamed(name);
  if (!model?.run_url) return model?.run_name ? h("span", { class: "hint" }, model.run_name) : null;
  return h(
    "a",
    {
      href: model.run_url,
      target: "_blank",
      rel: "noopener",
      class: "run-link",
      "data-test": "run-link",
      title: "Open this run in MLflow",
    },
    model.run_name || model.run_id,
    h("span", { class: "hidden" }, " in MLflow, opens a new tab"),
    icon("out"),
  );
}
