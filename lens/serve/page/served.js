// Which models the service has: asked at the start, and again when they may have changed.

import { announce, byId, notice } from "./dom.js";
import { RUN, change, modelNamed, query, service } from "./query.js";
import { drawModels } from "./models.js";
import { openModels } from "./api.js";

/** Say something that concerns the whole page; without content, take it away. */
export function pageNotice(...content) {
  byId("page-notice").replaceChildren(...content.filter(Boolean));
}

/** What the service has, and why it could not open the run of the address; null where it could. */
export async function fetchModels() {
  if (!RUN) return [await openModels(), null];
  try {
    return [await openModels(RUN), null];
  } catch (error) {
    if (error.kind === "network" || error.kind === "key") throw error;
    return [await openModels(), error.message];
  }
}

/** Take chosen models out that are not served, and choose `instead` where none is left. Gives the names taken out. */
export function leaveGone(instead) {
  const gone = query.models.filter((name) => !modelNamed(name));
  if (gone.length) {
    const left = query.models.filter(modelNamed);
    change((now) => {
      now.models = left.length ? left : instead.filter(modelNamed);
    }, "restore");
  }
  return gone;
}

const states = (models) => new Map(models.map((model) => [model.name, `${model.run_id} ${model.index_written}`]));

/** Take up what the service has by now, and tell the person where that concerns what is chosen. */
export async function renewModels() {
  let told;
  try {
    [told] = await fetchModels();
  } catch {
    return; // the next search says what is wrong
  }
  const [before, after] = [states(service.models), states(told.models)];
  if (JSON.stringify([...before]) === JSON.stringify([...after])) return;
  service.models = told.models;
  const newer = query.models.filter((name) => after.has(name) && after.get(name) !== before.get(name));
  drawModels();
  const gone = leaveGone(told.models.slice(0, 1).map((model) => model.name));
  if (!gone.length) change(() => {}, "restore");
  const sentences = [
    gone.length ? `The service no longer has ${gone.join(", ")}.` : null,
    newer.length ? `${newer.join(", ")}: a newer index answers from now on.` : null,
  ].filter(Boolean);
  if (!sentences.length) return;
  pageNotice(notice(sentences.join(" "), { kind: "calm", test: "models-notice" }));
  announce(sentences.join(" "));
}
