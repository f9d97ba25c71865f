// Where the time of an answer went: a bar of its stages, and the same in words.

import { h, time } from "./dom.js";

/** seconds: stage to seconds, and their total; open: whether the words are shown at once. */
export function timing(seconds, open) {
  const stages = Object.entries(seconds).filter(([name, value]) => name !== "total" && value > 0);
  const sum = stages.reduce((total, [, value]) => total + value, 0);
  const total = seconds.total ?? sum;
  const bar = h(
    "div",
    { class: "time-bar", "aria-hidden": "true" },
    stages.map(([name, value]) => {
      const part = h("span", { class: `stage ${name}`, title: `${name} ${time(value)}` });
      part.style.flexGrow = String(value / (sum || 1));
      return part;
    }),
  );
  const words = h(
    "dl",
    { class: "time-words" },
    stages.map(([name, value]) =>
      h(
        "div",
        {},
        h("dt", {}, h("span", { class: `dot ${name}`, "aria-hidden": "true" }), name),
        h("dd", {}, time(value)),
      ),
    ),
  );
  return h(
    "details",
    { class: "timing", "data-test": "timing", open },
    h("summary", {}, h("span", {}, "Answered in ", h("strong", {}, time(total))), bar),
    words,
  );
}
