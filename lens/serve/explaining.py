"""Why two pictures are alike, for one who asks over HTTP."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from lens.errors import LensError
from lens.search import Query
from lens.search.agreement import agreement
from lens.serve.batches import Batcher, ServedEmbedder
from lens.serve.pictures import Pictures
from lens.serve.shelf import Served


class Explainer:
    """One explanation at a time, in a thread of its own: it takes as long as dozens of searches, which go on beside it.

    Args:
        seconds: that a caller waits.
    """

    def __init__(self, pictures: Pictures, seconds: float) -> None:
        self._pictures = pictures
        self._turn = Batcher(1, seconds, lambda _: None, "explaining")

    def close(self) -> None:
        """End the thread, when what waits is done."""
        self._turn.close()

    def explain(self, one: Served, query: Query, item: Mapping[str, Any]) -> dict[str, Any]:
        """Which parts of the query and of an item agree.

        The query's picture is its first image, or else its first item, of a weight above 0.
        Raises LensError for a query that shows nothing, or a model that cannot tell; Overloaded.
        """
        embedder = one.searcher.embedder
        if embedder is None or not embedder.explains:
            raise LensError(f"{one.name} cannot show which parts agree.")
        picture, text = self._shown(query, one), _words(query)
        if picture is None and (text is None or not embedder.takes_texts):
            raise LensError(
                "The query has nothing of a weight above 0 that could be compared with a picture."
            )
        against = self._pictures.rgb(one.reader, item, embedder.image_size)
        own = embedder.own if isinstance(embedder, ServedEmbedder) else embedder
        words = text if picture is None else None
        found = self._turn(lambda _: [agreement(own, picture, against, words)], [None])[0]
        rebuilt = {"query": _png(found.rebuilt_query), "item": _png(found.rebuilt_item)}
        return {
            "model": one.name,
            "item_id": item["item_id"],
            "kind": found.kind,
            "means": found.means,
            "query": None if found.query is None else _grid(found.query),
            "item": _grid(found.item),
            "reconstructions": rebuilt if any(rebuilt.values()) else None,
        }

    def _shown(self, query: Query, one: Served) -> Image.Image | None:
        embedder = one.searcher.embedder
        assert embedder is not None  # `explain` asked
        for term in query.terms:
            if term.image is not None and term.weight > 0:
                return embedder.open(term.image)  # type: ignore[arg-type]
        for term in query.terms:
            if term.item is not None and term.weight > 0:
                row = one.reader.lookup([term.item])[0]  # it is there: the service looked
                return self._pictures.rgb(one.reader, one.reader.items([row])[0], embedder.image_size)
        return None


def _words(query: Query) -> str | None:
    return next((term.text for term in query.terms if term.text is not None and term.weight > 0), None)


def _grid(values: np.ndarray) -> dict[str, Any]:
    rows, columns = values.shape
    return {"rows": rows, "columns": columns, "values": np.round(values.astype(float), 4).tolist()}


def _png(values: np.ndarray | None) -> str | None:
    if values is None:
        return None
    written = io.BytesIO()
    Image.fromarray(values).save(written, "PNG")
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()
