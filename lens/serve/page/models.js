// Which models answer, and how several of them do.

import { facts } from "./about.js";
import { button, byId, h } from "./dom.js";
import { change, chosenModels, ofRun, onChange, query, service } from "./query.js";

/** Choose a model beside the others, or in place of the last one where no more fit. */
export function chooseAlso(name) {
  change((now) => {
    if (now.models.includes(name)) return;
    const room = now.models.length < service.limits.models;
    now.models = inOrder(room ? [...now.models, name] : [...now.models.slice(0, -1), name]);
  });
}

const inOrder = (names) => service.models.map((model) => model.name).filter((name) => names.includes(name));

function toggle(name, chosen) {
  change((now) => {
    now.models = inOrder(chosen ? [...now.models, name] : now.models.filter((other) => other !== name));
  });
}

function pill(model) {
  const box = h("input", {
    type: "checkbox",
    name: "model",
    value: model.name,
    "data-test": "model",
    onchange: (event) => toggle(model.name, event.target.checked),
  });
  return h(
    "label",
    { class: "pill", title: facts(model) },
    box,
    h(
      "span",
      {},
      model.name,
      model.takes_texts ? h("span", { class: "tag" }, "words") : null,
      ofRun(model) ? h("span", { class: "tag" }, "this run") : null,
    ),
  );
}

/** Draw the choice once the service has told its models. */
export function drawModels() {
  byId("model-list").replaceChildren(...service.models.map(pill));
  byId("models-hint").textContent =
    service.models.length > 1 ? `up to ${service.limits.models} side by side` : "";
  showModels();
}

function showModels() {
  const full = query.models.length >= service.limits.models;
  for (const box of byId("model-list").querySelectorAll("input")) {
    box.checked = query.models.includes(box.value);
    box.disabled = full && !box.checked;
    box.title = box.disabled ? `At most ${service.limits.models} models at a time` : "";
  }
  const several = query.models.length > 1;
  byId("view").hidden = !several;
  byId("view-side").checked = query.together === "side";
  byId("view-fused").checked = query.together === "fused";
  byId("fusion-label").hidden = query.together !== "fused";
  byId("fusion").value = query.fusion;
  showWords();
}

/** Words can be typed only where a chosen model reads them; otherwise say which does. */
function showWords() {
  const reads = chosenModels().some((model) => model.takes_texts);
  const others = service.models.filter((model) => model.takes_texts && !query.models.includes(model.name));
  const field = byId("words");
  field.disabled = !reads;
  byId("words-add").disabled = !reads;
  const started = query.terms.length > 0;
  byId("words-label").textContent = started ? "Words, as in “but red”" : "Or say it in words";
  byId("words-add").textContent = started ? "Add" : "Search";
  field.placeholder = !reads ? "" : started ? "Add words, such as red" : "red canvas sneaker";
  const note = byId("words-note");
  if (!service.models.length || reads) {
    note.replaceChildren(reads ? wordsHint() : "");
  } else if (others.length) {
    note.replaceChildren(
      "The chosen models do not read words. ",
      ...others.slice(0, 2).map((model) =>
        button(null, `Add ${model.name}`, {
          class: "linklike",
          "data-test": "add-text-model",
          onclick: () => {
            chooseAlso(model.name);
            byId("words").focus();
          },
        }),
      ),
    );
  } else {
    note.textContent = "No model here reads words. A clip model with an index does.";
  }
}

function wordsHint() {
  const deaf = chosenModels().filter((model) => !model.takes_texts);
  return deaf.length
    ? `Words are read by ${chosenModels()
        .filter((model) => model.takes_texts)
        .map((model) => model.name)
        .join(", ")} only.`
    : "";
}

export function startModels() {
  for (const id of ["view-side", "view-fused"]) {
    byId(id).addEventListener("change", (event) =>
      change((now) => {
        now.together = event.target.value;
      }),
    );
  }
  byId("fusion").addEventListener("change", (event) =>
    change((now) => {
      now.fusion = event.target.value;
    }),
  );
  onChange(showModels);
}
