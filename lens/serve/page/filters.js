// Conditions on the results: how many, look-alikes, categories and the catalogue's other columns.

import { button, byId, h } from "./dom.js";
import { change, chosenModels, onChange, query } from "./query.js";

const MOST_CHECKBOXES = 40; // more values than this are typed

/** A value of a column, with its count where the service gives one. */
const valued = (entry) => (entry !== null && typeof entry === "object" ? entry : { value: entry });

/** The columns of the chosen models, with all their values; the same column of two models once. */
function columns() {
  const found = new Map();
  for (const model of chosenModels()) {
    for (const [name, values] of Object.entries(model.where ?? {})) {
      const known = found.get(name) ?? new Map();
      for (const entry of values.map(valued)) known.set(entry.value, entry);
      found.set(name, known);
    }
  }
  return found;
}

const wanted = (name) => (query.where[name] === undefined ? [] : [query.where[name]].flat());

function setColumn(name, condition) {
  change((now) => {
    const { [name]: _, ...rest } = now.where;
    const empty = condition === null || (Array.isArray(condition) && condition.length === 0);
    now.where = empty ? rest : { ...rest, [name]: condition };
  });
}

const readable = (name) => {
  const words = String(name)
    .replaceAll("_", " ")
    .replace(/([a-z])([A-Z])/g, (_, before, after) => `${before} ${after.toLowerCase()}`);
  return words.charAt(0).toUpperCase() + words.slice(1);
};

const shown = (value) => (value === null ? "none" : String(value));

function choices(name, entries) {
  const boxes = [...entries.values()].map(({ value, count }) =>
    h(
      "label",
      { class: "pill small" },
      h("input", {
        type: "checkbox",
        "data-test": "filter",
        "data-column": name,
        value: shown(value),
        onchange: (event) =>
          setColumn(
            name,
            event.target.checked ? [...wanted(name), value] : wanted(name).filter((other) => other !== value),
          ),
      }),
      h(
        "span",
        {},
        shown(value),
        count === undefined ? null : h("span", { class: "tag" }, count.toLocaleString("en")),
      ),
    ),
  );
  for (const [place, entry] of [...entries.values()].entries()) {
    boxes[place].querySelector("input").checked = wanted(name).includes(entry.value);
  }
  return h(
    "fieldset",
    { class: "filter" },
    h("legend", {}, readable(name)),
    h("div", { class: "pills" }, boxes),
  );
}

/** A text that is part of the value; of numbers "5" is one and "1..9" are those between. */
export function conditionOf(text, numbers) {
  const said = text.trim();
  if (said === "") return null;
  if (!numbers) return { contains: said };
  const [, low, high] = said.match(/^(-?[\d.]*)\s*\.\.\s*(-?[\d.]*)$/) ?? [null, said, said];
  const ends = [
    ["min", low],
    ["max", high],
  ]
    .filter(([, end]) => end !== "")
    .map(([key, end]) => [key, Number.isNaN(Number(end)) ? end : Number(end)]); // the service says what is no number
  return ends.length ? Object.fromEntries(ends) : null;
}

function conditionText(name) {
  const now = query.where[name];
  if (now === undefined) return "";
  if (typeof now !== "object" || Array.isArray(now)) return [now].flat().join(", ");
  if (now.contains !== undefined) return now.contains;
  return now.min === now.max ? String(now.min) : `${now.min ?? ""}..${now.max ?? ""}`;
}

function typedFilter(name, numbers) {
  return h(
    "label",
    { class: "filter typed" },
    readable(name),
    h("input", {
      type: "text",
      value: conditionText(name),
      placeholder: numbers ? numbers.join("..") : "part of the text",
      "data-test": "filter-text",
      "data-column": name,
      onchange: (event) => setColumn(name, conditionOf(event.target.value, numbers)),
    }),
  );
}

function control(name, entries) {
  return entries.size && entries.size <= MOST_CHECKBOXES ? choices(name, entries) : typedFilter(name, null);
}

/** The columns of numbers of the chosen models: from the least to the largest. */
function numbersOf() {
  const found = new Map();
  for (const model of chosenModels()) {
    for (const [name, [low, high]] of Object.entries(model.numbers ?? {})) {
      const known = found.get(name) ?? [low, high];
      found.set(name, [Math.min(known[0], low), Math.max(known[1], high)]);
    }
  }
  return found;
}

function show() {
  byId("k").value = String(query.k);
  byId("fold").checked = query.fold;
  const chosen = Object.keys(query.where).length;
  byId("filters-button").querySelector("span").textContent = chosen ? `Filters (${chosen})` : "Filters";
  byId("filters-button").classList.toggle("on", chosen > 0);
  const old = document.activeElement;
  const focused = old?.dataset?.column && { column: old.dataset.column, value: old.value };
  byId("filters").replaceChildren(...panel(chosen).filter(Boolean));
  if (focused) focusAgain(focused);
}

function panel(chosen) {
  const wasOpen = byId("filters").querySelector("details")?.open;
  const { category, ...others } = Object.fromEntries(columns());
  const rest = [
    ...Object.entries(others).map(([name, entries]) => control(name, entries)),
    ...[...numbersOf()].map(([name, numbers]) => typedFilter(name, numbers)),
  ];
  const open = wasOpen ?? Object.keys(query.where).some((name) => name !== "category");
  const more = h("div", { class: "filter-rest" }, rest);
  return [
    category ? control("category", category) : null,
    rest.length ? h("details", { open }, h("summary", {}, "More columns"), more) : null,
    !category && !rest.length
      ? h("p", { class: "hint" }, "The chosen models' catalogue has no columns to filter by.")
      : null,
    chosen
      ? button("close", "Clear filters", { class: "quiet", id: "clear-filters", onclick: clearFilters })
      : null,
  ];
}

/** Take all conditions away. */
export const clearFilters = () =>
  change((now) => {
    now.where = {};
  });

function focusAgain({ column, value }) {
  const same = (input) => input.dataset.column === column && (input.type === "text" || input.value === value);
  [...byId("filters").querySelectorAll("input")].find(same)?.focus();
}

export function startFilters() {
  byId("k").addEventListener("change", (event) =>
    change((now) => {
      now.k = Number(event.target.value);
    }),
  );
  byId("fold").addEventListener("change", (event) =>
    change((now) => {
      now.fold = event.target.checked;
    }),
  );
  byId("filters-button").addEventListener("click", () => {
    const opened = byId("filters").hidden;
    byId("filters").hidden = !opened;
    byId("filters-button").setAttribute("aria-expanded", String(opened));
  });
  onChange(show);
}
