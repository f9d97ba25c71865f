// What is asked: terms with weights, conditions, models. One object; whoever shows a part of it listens for changes.

export const MOST_WEIGHT = 2;

/**
 * terms: {key, kind: image | item | text, weight, label, and
 *         of an image: blob (what is sent), original, box, preview (address to show), small (base64 for the link);
 *         of an item: item, thumbnail; of a text: text}
 * where: column to chosen values, or to {min, max}; together: side | fused.
 */
export const query = {
  terms: [],
  where: {},
  models: [],
  k: 10,
  together: "side",
  fusion: "rrf",
  fold: true,
};

/** What the service offers, filled once it has answered. */
export const service = {
  models: [],
  limits: { bytes: 10 * 2 ** 20, k: 100, models: 4, pictures: 4, types: [] },
};

const listeners = [];
let lastKey = 0;

export const onChange = (listener) => listeners.push(listener);

/** Change the query and tell everybody. how: "new" (a step that Back undoes), "restore" (came from the link). */
export function change(work, how = "new") {
  work(query);
  for (const listener of listeners) listener(query, how);
}

const numbered = (term) => ({ weight: 1, ...term, key: `term-${(lastKey += 1)}` });

export const pictures = () => query.terms.filter((term) => term.kind === "image");

/** Add a term; add: false takes the pictures' place that were there, and keeps words. */
export function addTerm(term, { add = true } = {}) {
  change((now) => {
    if (!add) now.terms = now.terms.filter((old) => old.kind === "text");
    const same = now.terms.find(
      (old) => old.kind === term.kind && term.kind !== "image" && old[term.kind] === term[term.kind],
    );
    if (same) same.weight = clampWeight(same.weight + (term.weight ?? 1));
    else now.terms.push(numbered(term));
  });
}

export const replaceAll = (terms) =>
  change((now) => {
    now.terms = terms.map(numbered);
  });

export const removeTerm = (key) =>
  change((now) => {
    now.terms = now.terms.filter((term) => term.key !== key);
  });

export function updateTerm(key, values) {
  change((now) => {
    Object.assign(now.terms.find((term) => term.key === key) ?? {}, values);
  });
}

/** Take the query of a link in place of this one; what the link leaves out stays as it is. */
export const restore = ({ terms, ...rest }) =>
  change((now) => Object.assign(now, rest, { terms: (terms ?? []).map(numbered) }), "restore");

export const clampWeight = (weight) =>
  Math.min(MOST_WEIGHT, Math.max(-MOST_WEIGHT, Math.round(Number(weight) * 10) / 10 || 0));

/** Terms that count; a weight of 0 switches a term off. */
export const activeTerms = () => query.terms.filter((term) => term.weight !== 0);

const hasWords = () => activeTerms().some((term) => term.kind === "text");

export const modelNamed = (name) => service.models.find((model) => model.name === name);
/** The run that the address names, which a link in MLflow has put there. */
export const RUN = new URLSearchParams(location.search).get("run");
export const ofRun = (model) => Boolean(RUN && model.run_id?.startsWith(RUN));

export const chosenModels = () => query.models.map(modelNamed).filter(Boolean);

/** Why a model cannot answer this query, as a sentence; null where it can. */
export function unable(model) {
  if (hasWords() && !model.takes_texts) return `${model.name} does not read words.`;
  if (pictures().some((term) => term.weight !== 0) && model.takes_images === false)
    return `${model.name} takes no pictures.`;
  return null;
}

/** The picture that an explanation speaks of: the first image of positive weight, else the first such item. */
export function mainPicture() {
  const wanted = activeTerms().filter((term) => term.weight > 0);
  return wanted.find((term) => term.kind === "image") ?? wanted.find((term) => term.kind === "item") ?? null;
}

/** The body of a request, as options for `call`: JSON, or a form where pictures go along. */
export function bodyFor(names, more = {}) {
  const files = [];
  const terms = activeTerms().map((term) => {
    if (term.kind !== "image") return { [term.kind]: term[term.kind], weight: term.weight };
    const name = files.length ? `image${files.length + 1}` : "image";
    files.push([name, term.blob]);
    return { image: name, weight: term.weight };
  });
  const filtered = Object.keys(query.where).length > 0;
  const body = { terms, models: names, ...(filtered ? { where: query.where } : {}), ...more };
  if (!files.length) return { json: body };
  const form = new FormData();
  form.append("query", JSON.stringify(body));
  for (const [name, blob] of files) form.append(name, blob, blob.name ?? "picture");
  return { form };
}

/** Two searches of one signature have the same answer. */
export const signature = (names) =>
  JSON.stringify([
    names.map((name) => [name, modelNamed(name)?.run_id, modelNamed(name)?.index_written]),
    query.where,
    query.k,
    query.fold,
    names.length > 1 ? query.fusion : "",
    activeTerms().map((term) => [
      term.kind,
      term.text ?? term.item ?? `${term.key}/${term.version ?? 0}`,
      term.weight,
    ]),
  ]);
