"""What the service answers: plain values in and out, no HTTP."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, urlencode
from weakref import WeakKeyDictionary

import numpy as np

from lens.errors import LensError
from lens.index import Reader
from lens.index.facets import facets
from lens.search import Query, Result, search_several
from lens.serve.asking import Asked
from lens.serve.explaining import Explainer
from lens.serve.fold import folded
from lens.serve.pictures import FULL, THUMBNAIL, Pictures
from lens.serve.problems import Missing, Overloaded
from lens.serve.settings import TYPES, Limits
from lens.serve.shelf import Served, Shelf

MODELS_AT_ONCE = 4
_MOST_VALUES = 200  # of a column, that are listed for filters
_NO_FILTER = ("item_id", "path", "captions", "file_state", "file_sha256", "role")
_SEARCHED = ("item_id", "product_id", "captions")


class Service:
    """The models of a shelf, asked.

    Args:
        run_url: the address of a run in the MLflow UI, of its experiment's id and its own.
        needs_key: said to the page; observe: is told the seconds of each stage of a search.
        together: a context in which all pictures of a request share the time that one has.
    """

    def __init__(
        self,
        shelf: Shelf,
        pictures: Pictures,
        explainer: Explainer,
        limits: Limits,
        run_url: Callable[[str, str], str],
        needs_key: bool,
        observe: Callable[[Mapping[str, float]], None],
        together: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.shelf, self.pictures, self.limits = shelf, pictures, limits
        self._explainer, self._run_url, self._needs_key = explainer, run_url, needs_key
        self._facets: WeakKeyDictionary[Reader, dict[str, Any]] = WeakKeyDictionary()
        self._observe, self._together, self.version = observe, together, version("shopping-lens")

    def models(self, run: str | None = None) -> dict[str, Any]:
        """All models; `run` is opened first where it is not yet there. Raises Missing for a run without an index."""
        if run is not None:
            try:
                self.shelf.open_run(run)
            except Overloaded:
                raise
            except LensError as error:
                raise Missing(str(error)) from error
        limits = {name: getattr(self.limits, name) for name in ("bytes", "pixels", "k", "pictures")}
        return {
            "models": [self._model(one) for one in self.shelf.models.values()],
            "limits": {**limits, "types": list(TYPES), "models": MODELS_AT_ONCE},
            "needs_key": self._needs_key,
            "version": self.version,
        }

    def search(self, asked: Asked) -> dict[str, Any]:
        """The answer to a query. Raises LensError for what cannot be asked, Missing for an unknown model or item."""
        start = time.perf_counter()
        served = self._asked(asked.query)
        query = replace(asked.query, models=tuple(served))
        with _named(served), self._together():
            answer = search_several({name: one.searcher for name, one in served.items()}, query)
        holders = [served[next(iter(one.models))] for one in answer.results]  # of catalogues that may differ
        ranked = zip(answer.results, holders, strict=True)
        results = [self._result(rank, one, holder) for rank, (one, holder) in enumerate(ranked, 1)]
        seconds = dict(answer.seconds)
        if asked.fold:
            folding = time.perf_counter()
            shown = zip(answer.results, holders, strict=True)
            heads = folded([self.pictures.hash(holder.reader, one.item) for one, holder in shown])
            for result, head in zip(results, heads, strict=True):
                result["duplicate_of"] = None if head is None else results[head]["item_id"]
            seconds["fold"] = time.perf_counter() - folding
        seconds["total"] = time.perf_counter() - start
        self._observe(seconds)
        return {
            "model": "+".join(served),
            "models": list(served),
            "runs": {name: one.searcher.run_id for name, one in served.items()},
            "modality": answer.modality,
            "seconds": seconds,
            "count": len(results),
            "results": results,
        }

    def explain(self, asked: Asked) -> dict[str, Any]:
        """Which parts of the query and of one item agree, see `Explainer.explain`."""
        served = self._asked(asked.query)
        if len(served) != 1 or asked.item is None:
            raise LensError('Give one model and one "item": the result to be looked at.')
        one = next(iter(served.values()))
        with _named(served), self._together():
            return self._explainer.explain(one, asked.query, self._item(one, asked.item))

    def items(
        self, model: str | None, offset: int, limit: int, category: str | None, text: str | None
    ) -> dict[str, Any]:
        """A page of the catalogue, in its own order."""
        one = self._served(model)
        reader = one.reader
        chosen = reader.alive & reader.select({"category": category} if category else {})
        if text and text.strip():
            found = [reader.select({name: {"contains": text.strip()}}) for name in _SEARCHED]
            chosen = chosen & np.logical_or.reduce(found)
        rows = np.flatnonzero(chosen)
        items = reader.items(rows[offset : offset + limit])
        listed = [{**self._shown_item(item, one), "split": item.get("split") or None} for item in items]
        return {"total": len(rows), "items": listed}

    def item(self, model: str | None, item_id: str) -> dict[str, Any]:
        """All that is known of one item. Raises Missing."""
        one = self._holding(model, item_id)
        item = self._item(one, item_id)
        hidden = ("file_state", "file_sha256")
        columns = {name: value for name, value in item.items() if name not in hidden}
        return {**self._shown_item(item, one), "captions": item.get("captions") or [], "columns": columns}

    def jpeg(self, model: str | None, item_id: str, thumbnail: bool) -> bytes:
        """An item's picture. Raises Missing."""
        one = self._holding(model, item_id)
        return self.pictures.jpeg(one.reader, self._item(one, item_id), THUMBNAIL if thumbnail else FULL)

    def _model(self, one: Served) -> dict[str, Any]:
        reader, run, embedder = one.reader, one.run, one.searcher.embedder
        if reader not in self._facets:  # 0.3 s for each column of a million items
            self._facets[reader] = facets(reader, _NO_FILTER, _MOST_VALUES)
        return {
            "name": one.name,
            "run_id": one.searcher.run_id,
            "run_name": run.name if run else None,
            "run_url": self._run_url(run.experiment_id, run.run_id) if run else None,
            "items": len(reader),
            "dimension": reader.dimension,
            "takes_images": embedder is not None,
            "takes_texts": embedder is not None and embedder.takes_texts,
            "explains": embedder is not None and embedder.explains,
            "image_size": embedder.image_size if embedder else None,
            "newest": one.newest,
            "bands": {name: _band(part) for name, part in (reader.manifest.get("bands") or {}).items()},
            **self._facets[reader],
            "index_written": reader.manifest.get("created"),
            "catalogue": (reader.manifest.get("catalogue") or {}).get("name"),
        }

    def _asked(self, query: Query) -> dict[str, Served]:
        """The models of a query: those it names, or the first that can answer it."""
        models, names = self.shelf.models, list(dict.fromkeys(query.models))  # a refresh may come in between
        if len(names) > MODELS_AT_ONCE:
            raise LensError(
                f"The query names {len(names)} models; at most {MODELS_AT_ONCE} are asked at once."
            )
        reads = [
            one.name
            for one in models.values()
            if one.searcher.embedder is not None and one.searcher.embedder.takes_texts
        ]
        if not names and query.modality != "image" and reads:
            names = reads[:1]
        served = {one.name: one for one in (_chosen(models, name) for name in names or (None,))}
        for term in query.terms:
            for one in served.values():
                if term.item is not None:
                    self._item(one, term.item)
                elif one.searcher.embedder is None:
                    raise LensError(f"No model is at hand for {one.name}; ask it by items.")
        return served

    def _served(self, name: str | None) -> Served:
        return _chosen(self.shelf.models, name)

    def _holding(self, model: str | None, item_id: str) -> Served:
        """The model, or the first whose index holds the item."""
        if model is not None:
            return self._served(model)
        holders = (one for one in self.shelf.models.values() if one.reader.lookup([item_id])[0] >= 0)
        return next(holders, self._served(None))

    def _item(self, one: Served, item_id: str) -> dict[str, Any]:
        row = one.reader.lookup([item_id])[0]
        if row < 0:
            raise Missing(f"The index of {one.name} holds no item {item_id[:200]!r}.")
        return one.reader.items([row])[0]

    def _shown_item(self, item: Mapping[str, Any], one: Served) -> dict[str, Any]:
        where = f"{quote(item['item_id'])}?{urlencode({'model': one.name})}"
        captions = item.get("captions") or [None]
        return {
            "item_id": item["item_id"],
            "category": item.get("category"),
            "product": item.get("product_id"),
            "caption": captions[0],
            "image": f"/api/images/{where}",
            "thumbnail": f"/api/thumbnails/{where}",
        }

    def _result(self, rank: int, result: Result, one: Served) -> dict[str, Any]:
        return {
            **self._shown_item(result.item, one),
            "rank": rank,
            "score": result.score,
            "cosine": result.cosine,
            "band": result.band,
            "duplicate_of": None,
            "models": result.models,
        }


def _chosen(models: Mapping[str, Served], name: str | None) -> Served:
    """The model of this name, or the first."""
    if name is None:
        return next(iter(models.values()))
    if name not in models:
        raise Missing(f"There is no model {name[:100]!r}; there are: {', '.join(models)}.")
    return models[name]


@contextmanager
def _named(served: Mapping[str, Served]) -> Iterator[None]:
    """Sentences without the places of indices, which are nobody's business."""
    try:
        yield
    except LensError as error:
        sentence = str(error)
        for name, one in served.items():
            sentence = sentence.replace(str(one.reader.folder), name)
        raise type(error)(sentence) from error


def _band(part: Mapping[str, Any]) -> dict[str, Any]:
    """What a person is told of the bands of one kind of query."""
    return {name: part.get(name) for name in ("high", "medium", "means", "queries", "bands")}
