// Pictures before they leave: decoded upright, cropped, made no larger than the service has use for.

import { service } from "./query.js";

const LONGEST_SIDE = 1280; // pixels; the models look at a few hundred
const LINK_SIDE = 320;
const LINK_BYTES = 16 * 1024; // what is smaller goes into the link as it is, so that the link finds exactly the same
const LOSSLESS_PIXELS = 512 * 512; // small pictures go as PNG, so that nothing of them is lost
const AS_IT_IS = ["image/jpeg", "image/png"];

/** A decoded picture, turned upright as its camera says; null where this browser cannot read the file. */
export async function decode(blob) {
  try {
    return await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    return null;
  }
}

function drawn(bitmap, box, longest, background) {
  const scale = Math.min(1, longest / Math.max(box.width, box.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(box.width * scale));
  canvas.height = Math.max(1, Math.round(box.height * scale));
  const context = canvas.getContext("2d");
  if (background) {
    context.fillStyle = background;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, box.left, box.top, box.width, box.height, 0, 0, canvas.width, canvas.height);
  return canvas;
}

const encoded = (canvas, type, quality) => new Promise((resolve) => canvas.toBlob(resolve, type, quality));

export const wholeOf = (bitmap) => ({ left: 0, top: 0, width: bitmap.width, height: bitmap.height });

const isWhole = (box, bitmap) =>
  box.left === 0 && box.top === 0 && box.width === bitmap.width && box.height === bitmap.height;

/** The part of a picture that is sent: the file itself where it is small and whole, else a new JPEG or PNG. */
async function sendable(file, bitmap, box) {
  const untouched =
    AS_IT_IS.includes(file.type) &&
    isWhole(box, bitmap) &&
    Math.max(bitmap.width, bitmap.height) <= LONGEST_SIDE &&
    file.size <= service.limits.bytes;
  if (untouched) return file;
  const lossless = box.width * box.height <= LOSSLESS_PIXELS;
  const canvas = drawn(bitmap, box, LONGEST_SIDE, lossless ? null : "#fff");
  return encoded(canvas, lossless ? "image/png" : "image/jpeg", 0.93);
}

/** What is sent, for the link as base64: the same where it is small and tells nothing else, as of places; else a JPEG. */
async function linkable(blob, bitmap, box) {
  if (blob.size <= LINK_BYTES) {
    const bytes = String.fromCharCode(...new Uint8Array(await blob.arrayBuffer()));
    if (!bytes.includes("Exif")) return btoa(bytes);
  }
  const canvas = drawn(bitmap, box, LINK_SIDE, "#fff");
  return canvas.toDataURL("image/jpeg", 0.72).split(",")[1];
}

/** The term of a picture file, or of a part of it (box: left, top, width, height in its pixels). */
export async function pictureTerm(file, box, weight = 1) {
  const bitmap = await decode(file);
  if (!bitmap)
    return { kind: "image", weight, label: file.name || "Picture", blob: file, preview: null, small: null };
  const part = box ?? wholeOf(bitmap);
  const blob = await sendable(file, bitmap, part);
  const small = await linkable(blob, bitmap, part);
  bitmap.close();
  remember(small, { original: file, blob, box: part });
  return {
    kind: "image",
    weight,
    label: file.name && file.name !== "image.png" ? file.name : "Your picture",
    original: file,
    box: part,
    blob,
    small,
    preview: URL.createObjectURL(blob),
  };
}

// Back and Forward restore links; pictures that were full size in this visit are so again.
const known = new Map();
const MOST_KNOWN = 24;

function remember(small, picture) {
  known.set(small, picture);
  if (known.size > MOST_KNOWN) known.delete(known.keys().next().value);
}

/** The term of a picture that stands in a link. */
export function termFromLink(small, weight) {
  const bytes = Uint8Array.from(atob(small), (letter) => letter.charCodeAt(0));
  const seen = known.get(small);
  const blob = seen?.blob ?? new Blob([bytes], { type: "image/jpeg" });
  return {
    kind: "image",
    weight,
    label: seen ? "Your picture" : "Picture from the link",
    small,
    blob,
    original: seen?.original ?? blob,
    box: seen?.box,
    preview: URL.createObjectURL(blob),
  };
}
