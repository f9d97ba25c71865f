// Sending the query: mixed queries are centred where the model can do that.

import { call } from "./api.js";
import { bodyFor, hasPictures, hasWords, modelNamed } from "./query.js";

// Models whose index turned out to keep no means of pictures and words, such as one joined from others.
const uncentred = new Set();

function centred(names) {
  return (
    hasWords() &&
    hasPictures() &&
    names.every((name) => modelNamed(name)?.bands?.mixed && !uncentred.has(name))
  );
}

/** Ask the models; a refused centred query is asked once more as it is. */
export async function askAnyhow(path, names, more, options) {
  const centre = centred(names);
  try {
    return await call(path, { ...bodyFor(names, { ...more, ...(centre ? { centre } : {}) }), ...options });
  } catch (error) {
    if (!centre || error.status !== 422 || error.kind !== "query") throw error;
    const answer = await call(path, { ...bodyFor(names, more), ...options });
    for (const name of names) uncentred.add(name);
    return answer;
  }
}
