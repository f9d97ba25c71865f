// Building the page from nodes and texts; data never becomes markup.

const SVG = "http://www.w3.org/2000/svg";

// Paths on a 24 × 24 grid, drawn as strokes.
const ICONS = {
  image: "M4 5h16v14H4zM4 16l4.5-4.5 4 4 2.5-2.5 5 5M15.5 9.5h.01",
  camera: "M4 8h3l1.5-2.5h7L17 8h3v11H4zM12 16.5a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4z",
  grid: "M4 4h6.5v6.5H4zM13.5 4H20v6.5h-6.5zM4 13.5h6.5V20H4zM13.5 13.5H20V20h-6.5z",
  link: "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.7l1-1",
  restart: "M5 5v5h5M5.5 15a7 7 0 1 0 .5-6.5L5 10",
  moon: "M19 14.5A7.5 7.5 0 0 1 9.5 5 7.5 7.5 0 1 0 19 14.5z",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.5 5.5L7 7M17 17l1.5 1.5M18.5 5.5L17 7M7 17l-1.5 1.5",
  filter: "M4 6h16M7 12h10M10 18h4",
  why: "M9.2 9.2a2.9 2.9 0 1 1 4.3 2.5c-1 .6-1.5 1.2-1.5 2.3M12 17.5h.01M12 21.5a9.5 9.5 0 1 0 0-19 9.5 9.5 0 0 0 0 19z",
  close: "M6 6l12 12M18 6L6 18",
  crop: "M7 2v15h15M2 7h15v15",
  words: "M5 6h14M5 12h10M5 18h6",
  warn: "M12 4L2.5 20h19zM12 10v5M12 17.5h.01",
  high: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8 12.5l2.7 2.7L16 9.5",
  medium: "M12 3l9 9-9 9-9-9zM8.5 12h7",
  low: "M4 4h16v16H4zM9 9l6 6M15 9l-6 6",
  all: "M9 15.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11zM15 19.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11z",
  out: "M9 5H5v14h14v-4M13 5h6v6M19 5l-8.5 8.5",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
};

/** An element with attributes, `on…` listeners and children; null and false children are left out. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return node;
}

/** A drawn sign; it is decoration, the text beside it carries the meaning. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with a sign and words. */
export function button(sign, words, attributes = {}) {
  return h(
    "button",
    { type: "button", ...attributes },
    sign ? icon(sign) : null,
    words ? h("span", {}, words) : null,
  );
}

export const byId = (id) => document.getElementById(id);

/** Put the signs in front of the elements of index.html that ask for one. */
export function drawIcons() {
  for (const node of document.querySelectorAll("[data-icon]")) node.prepend(icon(node.dataset.icon));
}

/** Say something to a screen reader without moving anything. */
export function announce(text) {
  byId("status").textContent = text;
}

/** A notice with what went wrong, at the place where the person looks, and a button where something can be done. */
export function notice(text, { action, onAction, kind = "bad", test = "notice" } = {}) {
  return h(
    "div",
    { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status", "data-test": test },
    icon(kind === "bad" ? "warn" : "why"),
    h("p", {}, text),
    action ? button(null, action, { onclick: onAction, "data-test": "notice-action" }) : null,
  );
}

/** A dialog that is removed from the page once closed. Escape and a click beside it close it. */
export function dialog(id, title, content, { onclose, wide = false } = {}) {
  const opener = document.activeElement;
  const box = h(
    "dialog",
    { id, class: wide ? "wide" : "", "aria-labelledby": `${id}-title` },
    h(
      "header",
      {},
      h("h2", { id: `${id}-title` }, title),
      button("close", null, {
        class: "quiet square",
        "aria-label": "Close",
        onclick: () => box.close(),
        "data-test": "close",
      }),
    ),
    content,
  );
  let pressedOutside = false;
  box.addEventListener("pointerdown", (event) => {
    pressedOutside = event.target === box;
  });
  box.addEventListener("click", (event) => {
    if (event.target === box && pressedOutside) box.close();
  });
  box.addEventListener("close", () => {
    box.remove();
    onclose?.();
    if (opener?.isConnected) opener.focus();
  });
  document.body.append(box);
  box.showModal();
  return box;
}

export const count = (number, one, many = `${one}s`) =>
  `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** Seconds as a person reads them: 0.4 ms, 32 ms, 1.2 s. */
export function time(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  const ms = seconds * 1000;
  return `${ms >= 10 ? Math.round(ms) : ms.toFixed(1)} ms`;
}

export function later(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(signal.reason);
      },
      { once: true },
    );
  });
}

/** Calls once, after the last of several calls in a row. */
export function debounce(milliseconds, work) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), milliseconds);
  };
}
