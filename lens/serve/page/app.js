// Where the page begins: its parts are started, the service is asked for its models, the address for a query.

import { byId, drawIcons, h, icon, notice } from "./dom.js";
import { addTerm, change, chosenModels, ofRun, onChange, query, replaceAll, service } from "./query.js";
import { drawModels, startModels } from "./models.js";
import { itemButton, itemTerm, openPicker, someItems } from "./picker.js";
import { readAddress, showLink, writeAddress } from "./link.js";
import { fetchModels, leaveGone, pageNotice, renewModels } from "./served.js";
import { search } from "./columns.js";
import { startDropzone, uploadNotice } from "./dropzone.js";
import { startFilters } from "./filters.js";
import { startKey } from "./key.js";
import { startTerms } from "./terms.js";

/** Everything that only shows whether something is asked. */
function showStage() {
  const started = query.terms.length > 0;
  document.body.dataset.state = started ? "asked" : "start";
  byId("results").hidden = !started;
  byId("try").hidden = started || !byId("try-list").childElementCount;
  byId("new-search").hidden = !started;
  byId("copy-link").hidden = !started;
}

function startWords() {
  byId("words-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = byId("words").value.trim();
    if (!text) return byId("words").focus();
    byId("words").value = "";
    addTerm({ kind: "text", text });
  });
}

function startTheme() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => {
    byId("theme-toggle").setAttribute("aria-pressed", String(dark()));
    byId("theme-toggle").replaceChildren(icon(dark() ? "sun" : "moon"));
  };
  byId("theme-toggle").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      /* chosen for this visit only */
    }
    show();
  });
  system.addEventListener("change", show);
  show();
}

function startButtons() {
  byId("catalogue-button").addEventListener("click", openPicker);
  byId("copy-link").addEventListener("click", showLink);
  byId("new-search").addEventListener("click", () => {
    change((now) => {
      now.terms = [];
      now.where = {};
    });
    uploadNotice(null);
    byId("choose-button").focus();
  });
  byId("skip").addEventListener("click", (event) => {
    // the part behind # belongs to the query
    event.preventDefault();
    (byId("results").hidden ? byId("choose-button") : byId("results")).focus();
  });
}

async function showTries() {
  const model = chosenModels()[0] ?? service.models[0];
  const list = byId("try-list");
  try {
    const items = await someItems(model);
    list.replaceChildren(...items.map((item) => itemButton(item, () => replaceAll([itemTerm(item)]))));
    if (!items.length) {
      pageNotice(
        notice(
          `The catalogue of ${model.name} is empty, so nothing can be found; ` +
            "embed some pictures with python -m lens.index.",
          { kind: "calm", test: "empty-catalogue" },
        ),
      );
    }
  } catch (error) {
    list.replaceChildren(
      notice(error.message, { action: "Try again", onAction: showTries, test: "try-error" }),
    );
  }
  showStage();
}

async function begin() {
  pageNotice(
    h(
      "p",
      { class: "waiting", role: "status" },
      h("span", { class: "spinner", "aria-hidden": "true" }),
      "Asking the service for its models…",
    ),
  );
  byId("composer").setAttribute("aria-busy", "true");
  try {
    const [told, refused] = await fetchModels();
    Object.assign(service, { models: told.models, limits: { ...service.limits, ...told.limits } });
    byId("version").textContent = told.version ? `Shopping Lens ${told.version}` : "";
    pageNotice(refused ? notice(refused, { test: "run-error" }) : null);
  } catch (error) {
    pageNotice(notice(error.message, { action: "Try again", onAction: begin, test: "models-error" }));
    return;
  } finally {
    byId("composer").removeAttribute("aria-busy");
  }
  if (!service.models.length) {
    pageNotice(
      notice(
        "There is no index to search in yet; train a model, as in python train.py model=resnet_tiny, " +
          "and reload this page.",
        { kind: "calm", test: "no-models" },
      ),
    );
  }
  for (const option of byId("k").options) option.disabled = Number(option.value) > service.limits.k;
  query.models = [(service.models.find(ofRun) ?? service.models[0])?.name].filter(Boolean);
  drawModels();
  follow();
  if (service.models.length) showTries();
}

/** Take up the address's query, and say what of it is not to be had here. */
function follow() {
  const before = query.models;
  const whole = readAddress();
  const gone = leaveGone(before);
  if (gone.length) {
    pageNotice(
      notice(
        `The link asks ${gone.join(", ")}, which this service does not have; ` +
          `${query.models.join(", ")} answers instead.`,
        { kind: "calm", test: "link-notice" },
      ),
    );
  }
  if (!whole)
    pageNotice(notice("The link is damaged, so its query cannot be restored.", { test: "link-notice" }));
}

drawIcons();
startKey();
startTheme();
startDropzone();
startTerms();
startModels();
startFilters();
startWords();
startButtons();
onChange(showStage);
onChange((_, how) => {
  if (how === "new") writeAddress();
});
onChange(search);
addEventListener("popstate", follow);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && service.models.length) renewModels();
});
begin();
