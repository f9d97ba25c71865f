// What is seen while a search runs.

import { h } from "./dom.js";
import { query } from "./query.js";

const MOST_SKELETONS = 6;

/** Why nothing is seen yet, while a busy service is asked again. */
export const waitingFor = ({ seconds, attempt, of }) =>
  `The service is busy. Trying again in ${Math.ceil(seconds)} s (${attempt} of ${of}).`;

/** Show that something goes on; gives what `call` is to tell of it. */
export function startProgress(body, had) {
  const words = h("p", {}, "Searching…");
  const bar = h("progress", { max: 1, "aria-label": "Progress of the search" });
  const skeletons = h(
    "ol",
    { class: "cards", "aria-hidden": "true" },
    Array.from({ length: Math.min(query.k, MOST_SKELETONS) }, () =>
      h(
        "li",
        { class: "card skeleton" },
        h("div", { class: "plate" }),
        h("div", { class: "card-body" }, h("span"), h("span"), h("span")),
      ),
    ),
  );
  const room = h("div", { class: "progress", "data-test": "progress" }, words, bar);
  if (had) {
    for (const old of body.children) old.inert = true;
    body.prepend(room);
  } else body.replaceChildren(room, skeletons);
  const say = (said, part = null) => {
    words.textContent = said;
    if (part === null) bar.removeAttribute("value");
    else bar.value = part;
  };
  return {
    onProgress: (part) =>
      part < 1 ? say(`Sending the picture, ${Math.round(100 * part)} %`, part) : say("Searching…"),
    onWait: (wait) => say(waitingFor(wait)),
  };
}
