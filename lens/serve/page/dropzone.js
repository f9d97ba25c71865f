// Ways in for a picture: dropped anywhere, pasted, chosen, photographed.

import { announce, byId, notice } from "./dom.js";
import { addTerm, change, onChange, pictures, query, service } from "./query.js";
import { pictureTerm } from "./pictures.js";

/** A size as a person reads it: 640 KB, 1.5 MB, 12 MB. */
function sized(bytes) {
  if (bytes < 2 ** 20) return `${Math.ceil(bytes / 1024)} KB`;
  return `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)} MB`;
}

/** Say beside the dropzone what was wrong with an upload; without a sentence, take it away. */
export function uploadNotice(sentence) {
  byId("upload-notice").replaceChildren(...(sentence ? [notice(sentence, { test: "upload-error" })] : []));
}

/** New pictures take the place of the old ones, unless the person said that they are added. */
const adds = () => byId("add-mode").checked && query.terms.length > 0;

export async function takeFiles(files) {
  const given = [...files];
  if (!given.length) return;
  uploadNotice(null);
  const room = service.limits.pictures - (adds() ? pictures().length : 0);
  if (room < 1)
    return uploadNotice(`A query takes at most ${service.limits.pictures} pictures; remove one first.`);
  byId("dropzone").setAttribute("aria-busy", "true");
  try {
    const terms = [];
    for (const file of given.slice(0, room)) {
      const term = await pictureTerm(file);
      if (!term.preview && file.size > service.limits.bytes) {
        return uploadNotice(
          `${file.name} has ${sized(file.size)}; give a file of at most ${sized(service.limits.bytes)}.`,
        );
      }
      terms.push(term);
    }
    terms.forEach((term, place) => addTerm(term, { add: place > 0 || adds() }));
    if (given.length > room)
      uploadNotice(`A query takes at most ${service.limits.pictures} pictures; the others were left out.`);
    announce(terms.length === 1 ? "Picture taken. Searching." : `${terms.length} pictures taken. Searching.`);
  } finally {
    byId("dropzone").removeAttribute("aria-busy");
  }
}

function listenForChoice(buttonId, inputId) {
  const input = byId(inputId);
  byId(buttonId).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // the same file may be chosen twice
    takeFiles(files);
  });
}

const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

function listenForDrops() {
  const cover = byId("drop-cover");
  let depth = 0;
  const show = (shown) => {
    cover.hidden = !shown;
    if (!shown) depth = 0;
  };
  addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth += 1;
    const replaces = query.terms.some((term) => term.kind !== "text") && !adds();
    byId("drop-cover-text").textContent = replaces
      ? "Drop to search with this picture instead"
      : "Drop the picture anywhere";
    show(true);
  });
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("dragleave", (event) => {
    if (carriesFiles(event) && (depth -= 1) <= 0) show(false);
  });
  addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    show(false);
    if (!document.querySelector("dialog[open]")) takeFiles(event.dataTransfer.files);
  });
}

function listenForPaste() {
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith("image/"));
    if (!files.length || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    takeFiles(files);
  });
}

/** A word about what may be dropped, and the buttons' names once there is a query. */
function showState() {
  const started = query.terms.length > 0;
  byId("add-mode-label").hidden = !query.terms.some((term) => term.kind !== "text");
  byId("choose-button").querySelector("span").textContent = started ? "Picture" : "Choose a picture";
  byId("photo-button").querySelector("span").textContent = started ? "Photo" : "Take a photo";
  byId("catalogue-button").querySelector("span").textContent = started ? "Catalogue" : "From the catalogue";
}

export function startDropzone() {
  listenForChoice("choose-button", "file-input");
  listenForChoice("photo-button", "photo-input");
  listenForDrops();
  listenForPaste();
  byId("dropzone").addEventListener("click", (event) => {
    if (!event.target.closest("button, input, label")) byId("file-input").click();
  });
  onChange(showState);
}

/** Put a refused picture out of the query and tell why, where it came in. */
export function refusePictures(sentence) {
  const refused = pictures();
  if (!refused.length) return false;
  const unreadable = refused.filter((term) => !term.preview);
  const gone = unreadable.length ? unreadable : refused;
  change((now) => {
    now.terms = now.terms.filter((term) => !gone.includes(term));
  });
  uploadNotice(sentence);
  announce(sentence);
  return true;
}
