// Sending the query.

import { call } from "./api.js";
import { bodyFor } from "./query.js";

/** Put the query to the models. more: what goes into the body beside it; options: see `call`. */
export const ask = (path, names, more, options) =>
  call(path, { ...bodyFor(names, more), ...options });
