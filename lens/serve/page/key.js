// The service may want a key: ask for it once, whoever needs it first, and go on.

import { call, onMissingKey } from "./api.js";
import { dialog, h } from "./dom.js";

let asking = null;

function ask() {
  asking ??= new Promise((resolve) => {
    let accepted = false;
    const { form, field } = keyForm(() => {
      accepted = true;
      view.close();
    });
    const view = dialog("key-dialog", "This service needs a key", form, {
      onclose: () => {
        asking = null;
        resolve(accepted);
      },
    });
    field.focus();
  });
  return asking;
}

function keyForm(done) {
  const field = h("input", {
    type: "password",
    id: "key-field",
    required: true,
    autocomplete: "current-password",
    "aria-describedby": "key-said",
  });
  const about = "Whoever runs the service gave it to you. It is kept in a cookie of this browser.";
  const said = h("p", { id: "key-said", class: "hint", role: "status" }, about);
  const send = async (event) => {
    event.preventDefault();
    try {
      await call("/api/key", { json: { key: field.value } });
      done();
    } catch (error) {
      said.textContent = error.message;
      field.select();
    }
  };
  const submit = h("button", { type: "submit", class: "primary", id: "key-send" }, "Use this key");
  const form = h("form", { id: "key-form", class: "stack", onsubmit: send });
  form.append(
    h("label", { for: "key-field" }, "Key"),
    field,
    said,
    h("div", { class: "dialog-actions" }, submit),
  );
  return { form, field };
}

export const startKey = () => onMissingKey(ask);
