// Choosing the part of a picture that is searched with: by dragging, by arrow keys, or by numbers.

import { button, dialog, h } from "./dom.js";
import { decode, wholeOf } from "./pictures.js";

const SMALLEST = 16; // pixels of the picture
const EDGES = {
  nw: "top left corner",
  n: "top edge",
  ne: "top right corner",
  e: "right edge",
  se: "bottom right corner",
  s: "bottom edge",
  sw: "bottom left corner",
  w: "left edge",
};
const FIELDS = { left: "Left", top: "Top", width: "Width", height: "Height" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const between = (low, value, high) => Math.min(high, Math.max(low, value));

/** The box moved by (dx, dy) pixels, or with one of its edges moved; always inside the picture. */
export function moved(box, part, dx, dy, picture) {
  let { left, top, width, height } = box;
  if (part === "move") {
    left = between(0, left + dx, picture.width - width);
    top = between(0, top + dy, picture.height - height);
    return { left, top, width, height };
  }
  const right = left + width;
  const bottom = top + height;
  if (part.includes("w")) left = between(0, left + dx, right - SMALLEST);
  if (part.includes("n")) top = between(0, top + dy, bottom - SMALLEST);
  if (part.includes("e")) width = between(SMALLEST, width + dx, picture.width - left);
  if (part.includes("s")) height = between(SMALLEST, height + dy, picture.height - top);
  if (part.includes("w")) width = right - left;
  if (part.includes("n")) height = bottom - top;
  return { left, top, width, height };
}

const rounded = (box) =>
  Object.fromEntries(Object.entries(box).map(([name, value]) => [name, Math.round(value)]));

function typed(box, name, value, picture) {
  const next = { ...box, [name]: value };
  next.left = between(0, next.left, picture.width - SMALLEST);
  next.top = between(0, next.top, picture.height - SMALLEST);
  next.width = between(SMALLEST, next.width, picture.width - next.left);
  next.height = between(SMALLEST, next.height, picture.height - next.top);
  return next;
}

/** Ask for a part of a picture file; calls take(box in its pixels). */
export async function openCropper(term, take) {
  const bitmap = await decode(term.original);
  if (!bitmap) return;
  const picture = { width: bitmap.width, height: bitmap.height };
  let box = { ...(term.box ?? wholeOf(picture)) };
  const show = (next) => {
    box = next;
    place(frame, box, picture);
    for (const input of fields.querySelectorAll("input")) input.value = Math.round(box[input.name]);
  };
  const done = () => {
    take(rounded(box));
    view.close();
  };
  const frame = cropFrame(done);
  const stage = h("div", { class: "crop-stage" }, painted(bitmap), frame);
  stage.style.width = `min(100%, ${((46 * picture.width) / picture.height).toFixed(2)}vh)`;
  const fields = cropFields(picture, (name, value) => show(typed(box, name, value, picture)));
  listen(frame, stage, () => box, show, picture);
  const view = dialog(
    "crop-dialog",
    "Crop the picture",
    h(
      "div",
      { class: "stack" },
      h("div", { class: "crop-room" }, stage),
      h("p", { class: "hint" }, "Drag the frame or its corners, use the arrow keys, or type pixels."),
      fields,
      h(
        "div",
        { class: "dialog-actions" },
        button("restart", "Whole picture", { id: "crop-whole", onclick: () => show(wholeOf(picture)) }),
        button("crop", "Search with this part", { id: "crop-apply", class: "primary", onclick: done }),
      ),
    ),
  );
  show(box);
  frame.focus();
}

function painted(bitmap) {
  const canvas = h("canvas", { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

/** The frame with its eight handles; Enter on the frame is done. */
function cropFrame(done) {
  const handles = Object.entries(EDGES).map(([part, name]) =>
    h("button", {
      type: "button",
      class: `handle ${part}`,
      dataset: { part },
      "aria-label": `Move the ${name}`,
      "data-test": `handle-${part}`,
    }),
  );
  const attributes = {
    id: "crop-box",
    class: "crop-box",
    tabindex: 0,
    role: "group",
    "aria-label": "Crop area. Arrow keys move it, ten pixels with Shift.",
    onkeydown: (event) => {
      if (event.key !== "Enter" || event.target !== event.currentTarget) return;
      event.preventDefault(); // the button that the focus goes back to would be pressed by the same key
      done();
    },
  };
  return h("div", attributes, handles);
}

function cropFields(picture, change) {
  const inputs = Object.entries(FIELDS).map(([name, label]) => {
    const input = h("input", {
      type: "number",
      name,
      id: `crop-${name}`,
      min: 0,
      max: Math.max(picture.width, picture.height),
      step: 1,
      onchange: (event) => change(name, Math.round(Number(event.target.value) || 0)),
    });
    return h("label", {}, label, input);
  });
  return h("div", { class: "crop-fields" }, inputs);
}

function place(frame, box, picture) {
  frame.style.left = `${(100 * box.left) / picture.width}%`;
  frame.style.top = `${(100 * box.top) / picture.height}%`;
  frame.style.width = `${(100 * box.width) / picture.width}%`;
  frame.style.height = `${(100 * box.height) / picture.height}%`;
}

function listen(frame, stage, current, show, picture) {
  frame.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    event.preventDefault();
    const step = event.shiftKey ? 10 : 1;
    show(moved(current(), event.target.dataset.part ?? "move", arrow[0] * step, arrow[1] * step, picture));
  });
  frame.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    event.target.focus();
    const part = event.target.dataset.part ?? "move";
    const start = { x: event.clientX, y: event.clientY, box: current() };
    const scale = picture.width / stage.getBoundingClientRect().width;
    const follow = (now) =>
      show(moved(start.box, part, (now.clientX - start.x) * scale, (now.clientY - start.y) * scale, picture));
    const stop = () => {
      frame.removeEventListener("pointermove", follow);
      frame.removeEventListener("pointerup", stop);
      frame.removeEventListener("pointercancel", stop);
    };
    frame.setPointerCapture(event.pointerId);
    frame.addEventListener("pointermove", follow);
    frame.addEventListener("pointerup", stop);
    frame.addEventListener("pointercancel", stop);
  });
}
