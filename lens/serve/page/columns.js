// The answers: one column for each model, or one for all of them together. Each loads by itself.

import { isAbort } from "./api.js";
import { ask } from "./asking.js";
import { agreement, mark } from "./agreement.js";
import { aboutModel, judges, runLink } from "./about.js";
import { announce, byId, count, h, notice, time } from "./dom.js";
import { activeTerms, chosenModels, query, signature, unable } from "./query.js";
import { cards } from "./card.js";
import { clearFilters } from "./filters.js";
import { refusePictures } from "./dropzone.js";
import { renewModels } from "./served.js";
import { startProgress } from "./progress.js";
import { timing } from "./timing.js";

const columns = new Map(); // key to {element, body, key, names, signature, state, ids, seconds, stop}

/** What stands in a row: {key, names, left}, left being models that cannot answer this query. */
function wanted() {
  const models = chosenModels();
  if (query.together === "side" || models.length < 2) {
    return models.map((model) => ({ key: model.name, names: [model.name], left: [] }));
  }
  const able = models.filter((model) => !unable(model));
  return [
    {
      key: "one list",
      names: (able.length ? able : models).map((model) => model.name),
      left: models.filter((model) => unable(model)),
    },
  ];
}

/** Search what is asked now. Columns whose question is the same stay; others are stopped and asked anew. */
export function search() {
  leaveCards();
  const asked = activeTerms().length > 0;
  const rows = asked ? wanted() : [];
  for (const [key, column] of columns) if (!rows.some((row) => row.key === key)) drop(column);
  for (const row of rows) {
    const old = columns.get(row.key);
    const now = signature(row.names);
    if (old && old.signature === now && old.state !== "failed") continue;
    fill(old ?? make(row.key), row, now);
  }
  byId("columns").replaceChildren(...rows.map((row) => columns.get(row.key).element));
  byId("columns").dataset.count = String(rows.length);
  for (const details of byId("columns").querySelectorAll(".timing")) details.open = hasRoom();
  if (asked && !rows.length)
    byId("columns").replaceChildren(
      notice("No model is chosen. Choose one above.", { kind: "calm", test: "no-model" }),
    );
  if (!asked && query.terms.length) {
    byId("columns").replaceChildren(
      notice("All parts of the query have weight 0. Move a slider.", { kind: "calm", test: "no-weight" }),
    );
  }
  drawJump(rows);
  drawAgreement();
}

/** Whether all stages of an answer's time are shown at once. */
const hasRoom = () => columns.size === 1 && !matchMedia("(max-width: 560px)").matches;

/** A button of a card that is about to go may have the focus: keep it near, and show the changed query. */
function leaveCards() {
  if (!byId("columns").contains(document.activeElement)) return;
  byId("results").focus({ preventScroll: true });
  byId("composer").scrollIntoView({ block: "start" });
}

function drop(column) {
  column.stop?.abort();
  columns.delete(column.key);
}

function make(key) {
  const column = {
    key,
    element: h("section", { class: "column", "data-test": "column", dataset: { model: key } }),
    body: h("div", { class: "column-body" }),
  };
  columns.set(key, column);
  return column;
}

function head(column, row) {
  const id = `column-${row.names.join("-")}`.replaceAll(/[^\w-]/g, "_");
  column.timing = h("div", { class: "column-time" });
  column.element.setAttribute("aria-labelledby", id);
  const one = row.names.length === 1 && row.key !== "one list";
  return h(
    "header",
    { class: "column-head" },
    h(
      "div",
      { class: "column-title" },
      h("h3", { id }, one ? row.names[0] : row.names.join(" + ")),
      one ? runLink(row.names[0]) : row.names.map(runLink),
    ),
    column.timing,
    row.left.map((model) => h("p", { class: "hint", "data-test": "left-out" }, `Left out: ${unable(model)}`)),
    one
      ? aboutModel(row.names[0])
      : h(
          "p",
          { class: "hint" },
          query.fusion === "rrf" ? "Joined by reciprocal ranks." : "Joined by standardised cosines.",
        ),
  );
}

async function fill(column, row, now) {
  column.stop?.abort();
  const stop = (column.stop = new AbortController());
  const had = column.state === "done" && column.ids?.length;
  Object.assign(column, { names: row.names, signature: now, state: "asked", ids: null, seconds: null });
  column.element.replaceChildren(head(column, row), column.body);
  const cannot = row.names
    .map((name) => unable(chosenModels().find((model) => model.name === name)))
    .find(Boolean);
  if (cannot)
    return settle(column, "unable", [
      notice(`${cannot} Choose another model, or take that part out.`, { kind: "calm", test: "unable" }),
    ]);
  column.element.setAttribute("aria-busy", "true");
  const told = { signal: stop.signal, ...startProgress(column.body, had) };
  const fusion = row.names.length > 1 ? { fusion: query.fusion } : {};
  try {
    const answer = await ask(
      "/api/search",
      row.names,
      { k: query.k, fold: query.fold, ...fusion },
      told,
    );
    if (column.stop === stop) answered(column, row, answer);
  } catch (error) {
    if (isAbort(error) || column.stop !== stop) return;
    if (error.kind === "upload" && refusePictures(error.message)) return;
    settle(column, "failed", [
      notice(error.message, {
        action: "Try again",
        onAction: () => fill(column, row, now),
        test: "search-error",
      }),
    ]);
    if (error.kind === "missing") renewModels();
  }
}

function settle(column, state, content) {
  column.state = state;
  column.element.removeAttribute("aria-busy");
  column.body.replaceChildren(...content);
  drawAgreement();
  tell();
}

function answered(column, row, answer) {
  column.ids = answer.results.map((result) => result.item_id);
  column.seconds = answer.seconds.total;
  column.timing.replaceChildren(timing(answer.seconds, hasRoom()));
  const judged = row.names.every((name) => judges(name, answer.modality));
  if (answer.results.length) {
    return settle(column, "done", [
      h(
        "ol",
        { class: "cards", "data-test": "cards" },
        cards(answer.results, row.names, judged),
      ),
    ]);
  }
  const filtered = Object.keys(query.where).length > 0;
  settle(column, "done", [
    notice(filtered ? "No item passes the filters." : "The catalogue of this model holds no other item.", {
      kind: "calm",
      test: "no-results",
      action: filtered ? "Clear filters" : null,
      onAction: clearFilters,
    }),
  ]);
}

/** Item ids of the columns that have answered, by model, in the order of the columns. */
const answers = () => {
  const place = (column) => query.models.indexOf(column.key);
  const ready = [...columns.values()].filter((column) => column.state === "done");
  return Object.fromEntries(ready.sort((a, b) => place(a) - place(b)).map(({ key, ids }) => [key, ids]));
};

function drawAgreement() {
  const ready = answers();
  byId("agreement").replaceChildren(
    ...[agreement(ready, [...columns.values()].filter((column) => column.state === "asked").length)].filter(
      Boolean,
    ),
  );
  mark(byId("columns"), ready);
}

/** On a phone the columns lie side by side beyond the edge: buttons lead to each. */
function drawJump(rows) {
  byId("column-jump").hidden = rows.length < 2;
  byId("column-jump").replaceChildren(
    ...rows.map((row) =>
      h(
        "button",
        {
          type: "button",
          class: "small",
          onclick: () => columns.get(row.key)?.element.scrollIntoView({ inline: "start", block: "nearest" }),
        },
        row.key,
      ),
    ),
  );
}

/** Once all have settled, say it to those who do not see it. */
function tell() {
  const all = [...columns.values()];
  if (all.some((column) => column.state === "asked")) return;
  announce(
    all
      .map((column) =>
        column.state === "done"
          ? `${column.key}: ${count(column.ids.length, "result")} in ${time(column.seconds)}`
          : `${column.key}: no answer`,
      )
      .join(". "),
  );
}
