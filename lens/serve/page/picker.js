// The catalogue, to pick an item from: a filterable, paged grid.

import { isAbort, listItems } from "./api.js";
import { button, byId, debounce, dialog, h, notice } from "./dom.js";
import { addTerm, chosenModels, query, replaceAll, service } from "./query.js";

const PAGE = 60;

/** Terms of an item of the catalogue. */
export const itemTerm = (item, weight = 1) => ({
  kind: "item",
  item: item.item_id,
  label: item.caption || item.category || item.item_id,
  thumbnail: item.thumbnail,
  weight,
});

/** A picture with its name, as a button. */
export function itemButton(item, onclick) {
  const name = item.caption || item.product || item.item_id;
  return h(
    "button",
    {
      type: "button",
      class: "tile",
      "data-test": "tile",
      dataset: { item: item.item_id },
      onclick,
      title: name,
    },
    h("img", { src: item.thumbnail, alt: "", loading: "lazy", width: 160, height: 160 }),
    h("span", {}, name),
  );
}

/** Items to begin with: one of each category, or the first ones. */
export async function someItems(model, most = 8) {
  const categories = (model.where?.category ?? [])
    .map((entry) => entry?.value ?? entry)
    .filter((name) => typeof name === "string");
  if (categories.length < 3) return (await listItems(model.name, { limit: most })).items;
  const pages = await Promise.all(
    categories.slice(0, most).map((category) => listItems(model.name, { category, limit: 1 })),
  );
  return pages.flatMap((page) => page.items);
}

/** Open the dialog; the item picked joins the query, or replaces its pictures. */
export function openPicker() {
  const model = chosenModels()[0] ?? service.models[0];
  if (!model) return;
  const state = { offset: 0, total: 0, stop: null };
  const { filter, category } = pickerFilters(model);
  const grid = h("div", { id: "picker-grid", class: "tiles" });
  const said = h("span", { id: "picker-count", role: "status" });
  const back = button("left", "Previous", { id: "picker-previous", onclick: () => turn(-PAGE) });
  const on = button("right", "Next", { id: "picker-next", onclick: () => turn(PAGE) });
  const parts = { state, model, filter, category, grid, said, back, on, close: () => view.close() };
  const turn = (by) => {
    state.offset = Math.max(0, state.offset + by);
    load(parts);
  };
  const anew = debounce(200, () => {
    state.offset = 0;
    load(parts);
  });
  filter.addEventListener("input", anew);
  category.addEventListener("change", anew);
  grid.addEventListener("keydown", walk);
  const view = dialog(
    "picker",
    "Pick from the catalogue",
    h(
      "div",
      { class: "stack picker-body" },
      h("div", { class: "picker-filters" }, filter, category),
      grid,
      h("div", { class: "pages" }, back, said, on),
    ),
    { wide: true, onclose: () => state.stop?.abort() },
  );
  filter.focus();
  load(parts);
}

function pickerFilters(model) {
  const filter = h("input", {
    type: "search",
    id: "picker-text",
    placeholder: "Search by name, product or id",
    "aria-label": "Search the catalogue",
  });
  const category = h(
    "select",
    { id: "picker-category", "aria-label": "Category" },
    h("option", { value: "" }, "All categories"),
    (model.where?.category ?? []).map((entry) => h("option", {}, String(entry?.value ?? entry))),
  );
  return { filter, category };
}

async function load(parts) {
  const { state, model, filter, category, grid, said, back, on } = parts;
  state.stop?.abort();
  const { signal } = (state.stop = new AbortController());
  grid.setAttribute("aria-busy", "true");
  said.textContent = "Loading…";
  try {
    const asked = { offset: state.offset, limit: PAGE, category: category.value, text: filter.value.trim() };
    const page = await listItems(model.name, asked, { signal });
    state.total = page.total;
    grid.replaceChildren(...page.items.map((item) => itemButton(item, () => pick(item, parts.close))));
    grid.scrollTop = 0;
    rove(grid, grid.firstElementChild);
    const last = state.offset + page.items.length;
    said.textContent = page.total
      ? [state.offset + 1, "to", last, "of", page.total].map((part) => part.toLocaleString("en")).join(" ")
      : "";
    if (!page.total) grid.replaceChildren(notice(nothing(asked), { kind: "calm", test: "picker-empty" }));
    back.disabled = state.offset === 0;
    on.disabled = last >= page.total;
  } catch (error) {
    if (isAbort(error)) return;
    said.textContent = "";
    grid.replaceChildren(
      notice(error.message, { action: "Try again", onAction: () => load(parts), test: "picker-error" }),
    );
  }
  grid.removeAttribute("aria-busy");
}

const nothing = ({ category, text }) =>
  category || text
    ? "Nothing in the catalogue fits. Try fewer letters or another category."
    : "The catalogue of this model is empty. Embed some pictures with python -m lens.index first.";

function pick(item, close) {
  close();
  const add = byId("add-mode").checked && query.terms.length > 0;
  if (query.terms.length) addTerm(itemTerm(item), { add });
  else replaceAll([itemTerm(item)]);
}

/** One tile of the grid is in the tab order; arrow keys lead to the others. */
function rove(grid, chosen) {
  for (const tile of grid.querySelectorAll(".tile")) tile.tabIndex = tile === chosen ? 0 : -1;
}

function walk(event) {
  const tiles = [...event.currentTarget.querySelectorAll(".tile")];
  const place = tiles.indexOf(document.activeElement);
  if (place < 0) return;
  const columns = tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length;
  const step = {
    ArrowRight: 1,
    ArrowLeft: -1,
    ArrowDown: columns,
    ArrowUp: -columns,
    Home: -place,
    End: tiles.length - 1 - place,
  }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const next = tiles[Math.min(tiles.length - 1, Math.max(0, place + step))];
  rove(event.currentTarget, next);
  next.focus();
}
