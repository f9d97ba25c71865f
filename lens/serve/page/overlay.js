// Why a result is similar: both pictures, with the parts that agree.

import { imageOf, isAbort } from "./api.js";
import { ask } from "./asking.js";
import { mainPicture } from "./query.js";
import { dialog, h, notice } from "./dom.js";
import { drawHeat, strongest } from "./heat.js";
import { waitingFor } from "./progress.js";

const queryAddress = (term, model) =>
  term?.kind === "item" ? imageOf(term.item, model) : (term?.preview ?? null);

/** Open the dialog for a result. models: those that can explain, the first one asked. */
export function openOverlay(result, models) {
  const room = h("div", { id: "overlay-body", class: "overlay-body", "data-test": "overlay-body" });
  const state = { stop: null };
  const choice =
    models.length < 2
      ? null
      : h(
          "label",
          { class: "inline" },
          "As seen by",
          h(
            "select",
            { id: "overlay-model", onchange: (event) => load(room, result, event.target.value, state) },
            models.map((name) => h("option", {}, name)),
          ),
        );
  dialog("overlay", "Why is this similar?", h("div", { class: "stack" }, choice, room), {
    wide: true,
    onclose: () => state.stop?.abort(),
  });
  load(room, result, models[0], state);
}

async function load(room, result, model, state) {
  state.stop?.abort();
  const { signal } = (state.stop = new AbortController());
  room.setAttribute("aria-busy", "true");
  room.replaceChildren(waiting("Comparing the two pictures part by part…"));
  try {
    const answer = await ask(
      "/api/explain",
      [model],
      { item: result.item_id },
      {
        signal,
        onWait: (wait) => room.replaceChildren(waiting(waitingFor(wait))),
      },
    );
    room.replaceChildren(...explained(answer, result));
  } catch (error) {
    if (isAbort(error)) return;
    room.replaceChildren(
      notice(error.message, {
        action: "Try again",
        onAction: () => load(room, result, model, state),
        test: "overlay-error",
      }),
    );
  }
  room.removeAttribute("aria-busy");
}

const waiting = (words) =>
  h("p", { class: "waiting", role: "status" }, h("span", { class: "spinner", "aria-hidden": "true" }), words);

function explained(answer, result) {
  const term = mainPicture();
  const address = queryAddress(term, answer.model);
  const name = result.caption || result.item_id;
  const heats = [];
  const pictures = h(
    "div",
    { class: "pair" },
    answer.query && address
      ? figure("Your query", address, answer.query, term.label ?? "the query", heats)
      : h("p", { class: "hint pair-words" }, "The query has no picture, so only the result is shown."),
    figure("This result", result.image, answer.item, name, heats),
  );
  return [
    h("p", { class: "means", id: "overlay-means", "data-test": "means" }, answer.means),
    controls(heats),
    pictures,
    rebuilt(answer.reconstructions, name),
  ].filter(Boolean);
}

function figure(title, address, grid, name, heats) {
  const canvas = h("canvas", {
    class: "heat",
    role: "img",
    "aria-label": "Heat over the picture",
    "data-test": "heat",
  });
  const image = h("img", { src: address, alt: name });
  const said = h("p", { class: "hint" });
  image.addEventListener("load", () => {
    if (!grid) return;
    drawHeat(canvas, grid, image.naturalWidth, image.naturalHeight);
    const words = `Strongest ${strongest(grid, image.naturalWidth, image.naturalHeight)}.`;
    said.textContent = words;
    canvas.setAttribute("aria-label", `Heat over ${name}. ${words}`);
  });
  image.addEventListener("error", () => {
    said.textContent = "The picture could not be loaded.";
  });
  if (grid) heats.push(canvas);
  return h(
    "figure",
    {},
    h("figcaption", {}, h("strong", {}, title)),
    h("div", { class: "stacked" }, image, grid ? canvas : null),
    said,
  );
}

function controls(heats) {
  if (!heats.length) return null;
  const strength = h("input", {
    type: "range",
    min: 0,
    max: 100,
    value: 70,
    id: "overlay-opacity",
    "aria-label": "Strength of the heat",
  });
  const shown = h("input", { type: "checkbox", id: "overlay-on", checked: true });
  const apply = () => {
    for (const canvas of heats) {
      canvas.style.opacity = String(Number(strength.value) / 100);
      canvas.hidden = !shown.checked;
    }
  };
  strength.addEventListener("input", apply);
  shown.addEventListener("change", apply);
  apply();
  return h(
    "div",
    { class: "heat-controls" },
    h("label", { class: "inline" }, shown, "Show heat"),
    h("label", { class: "inline" }, "Strength", strength),
    h("p", { class: "legend" }, "little", h("span", { class: "scale", "aria-hidden": "true" }), "much"),
  );
}

function rebuilt(pictures, name) {
  if (!pictures?.item) return null;
  const one = (title, address, alt) =>
    address
      ? h("figure", {}, h("figcaption", {}, title), h("img", { src: address, alt, class: "rebuilt" }))
      : null;
  return h(
    "section",
    { class: "rebuilt-room", "data-test": "reconstructions" },
    h("h3", {}, "What the model kept"),
    h("p", { class: "hint" }, "Each picture drawn again from its embedding alone."),
    h(
      "div",
      { class: "pair" },
      one("Your query", pictures.query, "The query, rebuilt"),
      one("This result", pictures.item, `${name}, rebuilt`),
    ),
  );
}
