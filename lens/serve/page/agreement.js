// How far models agree: the results that two of them share, and those that all of them found.

import { h, icon } from "./dom.js";

/** answers: model to its item ids, in order. Of each pair the number that both found. */
export function shared(answers) {
  const names = Object.keys(answers);
  return names.map((one) =>
    names.map((other) => {
      const there = new Set(answers[other]);
      return answers[one].filter((id) => there.has(id)).length;
    }),
  );
}

/** How many of the models found each item: item id to names. */
export function finders(answers) {
  const found = new Map();
  for (const [name, ids] of Object.entries(answers))
    for (const id of ids) found.set(id, [...(found.get(id) ?? []), name]);
  return found;
}

function matrix(names, counts, most) {
  const cells = (row) =>
    names.map((_, column) => {
      if (row === column) return h("td", { class: "same" }, "·");
      const cell = h("td", {}, h("strong", {}, String(counts[row][column])), ` of ${most}`);
      cell.style.setProperty("--share", `${Math.round((100 * counts[row][column]) / Math.max(1, most))}%`);
      return cell;
    });
  return h(
    "div",
    { class: "matrix-room", tabindex: 0, role: "region", "aria-label": "Agreement of the models" },
    h(
      "table",
      { class: "matrix" },
      h("caption", { class: "hidden" }, "How many results two models share"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("td"),
          names.map((name) => h("th", { scope: "col" }, name)),
        ),
      ),
      h(
        "tbody",
        {},
        names.map((name, row) => h("tr", {}, h("th", { scope: "row" }, name), cells(row))),
      ),
    ),
  );
}

/** Each pair in a few letters; the table behind it says the same at more length. */
function pairs(names, counts, most) {
  const every = names.flatMap((one, row) =>
    names.slice(row + 1).map((other, step) => [one, other, counts[row][row + 1 + step]]),
  );
  return h(
    "span",
    { class: "pairs" },
    every.map(([one, other, both]) =>
      h(
        "span",
        { class: "pair-pill", "data-test": "pair" },
        `${one} & ${other} `,
        h("strong", {}, `${both}/${most}`),
      ),
    ),
  );
}

/** The panel above the columns; null with fewer than two answers. missing: how many models still search. */
export function agreement(answers, missing) {
  const names = Object.keys(answers);
  if (names.length < 2) return null;
  const counts = shared(answers);
  const most = Math.max(...names.map((name) => answers[name].length));
  const everywhere = [...finders(answers).values()].filter((by) => by.length === names.length).length;
  const who = names.length === 2 ? "both models" : `all ${names.length} models`;
  const first = names.filter((name) => answers[name][0] === answers[names[0]][0]).length === names.length;
  const words =
    `${everywhere} of ${most} found by ${who}.` +
    (first && most ? ` ${names.length === 2 ? "Both" : "All"} have the same first result.` : "") +
    (missing ? " Other models are still searching." : "");
  return h(
    "details",
    { class: "agreement" },
    h(
      "summary",
      {},
      icon("all"),
      h("strong", {}, "Agreement"),
      h("span", { "data-test": "agreement-words" }, words),
      names.length > 2 ? pairs(names, counts, most) : null,
    ),
    matrix(names, counts, most),
  );
}

/** What is said of a result that every model found. */
export const inAll = (models) => (models === 2 ? "In both models" : `In all ${models} models`);

/** Mark the cards that several models found. */
export function mark(columns, answers) {
  const found = finders(answers);
  const all = Object.keys(answers).length;
  for (const card of columns.querySelectorAll(".card[data-item]")) {
    const by = found.get(card.dataset.item) ?? [];
    const badge = card.querySelector(".found:not(.fused)");
    const told = all > 1 && by.length > 1;
    badge.hidden = !told;
    card.classList.toggle("everywhere", told && by.length === all);
    if (told)
      badge.replaceChildren(icon("all"), by.length === all ? inAll(all) : `In ${by.length} of ${all} models`);
  }
}
