// One result: its picture, how similar it is, and what can be done with it.

import { bandOf } from "./about.js";
import { inAll } from "./agreement.js";
import { button, h, icon } from "./dom.js";
import { addTerm, modelNamed, query, replaceAll } from "./query.js";
import { itemTerm } from "./picker.js";
import { openOverlay } from "./overlay.js";

const nameOf = (result) => result.caption || result.product || result.item_id;

function picture(result, small = false) {
  const image = h("img", {
    src: result.thumbnail,
    alt: `${nameOf(result)}${result.category ? `, ${result.category}` : ""}`,
    loading: "lazy",
    width: small ? 96 : 256,
    height: small ? 96 : 256,
  });
  image.addEventListener("error", () =>
    image.replaceWith(h("span", { class: "gone" }, icon("image"), "The catalogue's picture is gone")),
  );
  return image;
}

function actions(result, models) {
  const about = (words) => `${words} ${nameOf(result)}`;
  const explaining = models.filter((name) => modelNamed(name)?.explains);
  return h(
    "div",
    { class: "actions" },
    button(null, "More like this", {
      "data-test": "more",
      "aria-label": about("More like this"),
      onclick: () => addTerm(itemTerm(result)),
    }),
    button(null, "Less like this", {
      "data-test": "less",
      "aria-label": about("Less like this"),
      onclick: () => addTerm(itemTerm(result, -0.5)),
    }),
    button(null, "Only this", {
      "data-test": "only",
      "aria-label": about("Only this"),
      onclick: () => replaceAll([itemTerm(result)]),
    }),
    explaining.length
      ? button(null, "Why?", {
          "data-test": "why",
          "aria-label": about("Why?"),
          onclick: () => openOverlay(result, explaining),
        })
      : null,
  );
}

const row = (name, value) =>
  value === null || value === undefined || value === ""
    ? []
    : [h("dt", {}, name), h("dd", {}, String(value))];

function details(result, fused) {
  const ranks = fused
    ? Object.entries(result.models ?? {}).map(([name, at]) =>
        row(
          name,
          at.rank ? `place ${at.rank}, cosine ${at.cosine?.toFixed(4) ?? "unknown"}` : "not among its first",
        ),
      )
    : [];
  return h(
    "details",
    { class: "more" },
    h("summary", {}, "Details"),
    h(
      "dl",
      {},
      row("Cosine", result.cosine?.toFixed(4)),
      row("Score", `${result.score?.toFixed(1)} %`),
      row("Item", result.item_id),
      row("Product", result.product),
      ranks,
    ),
  );
}

function alikeRow(alike, models) {
  const list = h(
    "ul",
    { class: "alike", hidden: true },
    alike.map((twin) =>
      h(
        "li",
        { dataset: { item: twin.item_id } },
        h(
          "button",
          {
            type: "button",
            "aria-label": `Only this: ${nameOf(twin)}`,
            title: `${nameOf(twin)}, ${Math.round(twin.score)} %`,
            onclick: () => replaceAll([itemTerm(twin)]),
          },
          picture(twin, true),
          h("span", {}, `${Math.round(twin.score)} %`),
        ),
      ),
    ),
  );
  const opener = button("all", `+${alike.length} alike`, {
    class: "quiet small",
    "data-test": "alike",
    "aria-expanded": "false",
    onclick: () => {
      list.hidden = !list.hidden;
      opener.setAttribute("aria-expanded", String(!list.hidden));
    },
  });
  return [opener, list];
}

/** Of a fused list: whether every model has the result among its own first ones. */
function foundBy(result) {
  const ranks = Object.values(result.models ?? {}).map((at) => at.rank);
  const found = ranks.filter(Boolean).length;
  return ranks.length > 1
    ? h(
        "p",
        { class: `found fused ${found === ranks.length ? "all" : ""}`, "data-test": "found-fused" },
        icon("all"),
        found === ranks.length ? inAll(found) : `In ${found} of ${ranks.length} models`,
      )
    : null;
}

/** A result with those folded under it. models: who answered; judged: whether its band means anything. */
export function card(result, alike, models, judged) {
  const fused = models.length > 1;
  const [whole, tenth] = (result.score ?? 0).toFixed(1).split(".");
  const subtitle = [
    result.category,
    result.product && result.product !== result.caption ? result.product : null,
  ]
    .filter(Boolean)
    .join(" · ");
  return h(
    "li",
    {
      class: "card",
      "data-test": "result",
      dataset: { item: result.item_id, band: judged ? result.band : "none", rank: result.rank },
    },
    h(
      "div",
      { class: "plate" },
      picture(result),
      h("span", { class: "rank" }, h("span", { class: "hidden" }, "Place "), String(result.rank)),
    ),
    h(
      "div",
      { class: "card-body" },
      h(
        "p",
        { class: "score-line" },
        h("span", { class: "score", "data-test": "score" }, whole, h("small", {}, `.${tenth} %`)),
        bandOf(judged ? result.band : null),
      ),
      h("h4", {}, nameOf(result)),
      h("p", { class: "hint subtitle" }, subtitle),
      h("p", { class: "found", "data-test": "found", hidden: true }),
      fused ? foundBy(result) : null,
      alike.length ? alikeRow(alike, models) : null,
      details(result, fused),
    ),
    actions(result, models),
  );
}

/** Cards of an answer's results; near-duplicates of a better one are folded under it. */
export function cards(results, models, judged) {
  const under = new Map(
    results.filter((result) => !result.duplicate_of || !query.fold).map((result) => [result.item_id, []]),
  );
  for (const result of results) {
    if (!query.fold || !result.duplicate_of) continue;
    if (under.has(result.duplicate_of)) under.get(result.duplicate_of).push(result);
    else under.set(result.item_id, []);
  }
  return results
    .filter((result) => under.has(result.item_id))
    .map((result) => card(result, under.get(result.item_id), models, judged));
}
