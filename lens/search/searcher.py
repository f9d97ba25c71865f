"""One model's index, asked."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lens.data.images import ImageSource
from lens.errors import LensError
from lens.index import Reader
from lens.metrics.calibration import shown_score
from lens.search.bands import Band, Modality, read_bands
from lens.search.embedder import Embedder, expected_of
from lens.search.expansion import expand
from lens.search.groups import NEGATIVES, Group, learn
from lens.search.query import Query
from lens.search.reranking import k_reciprocal

CANDIDATES, MOST_RERANKED = 100, 2000  # at least and at most so many are re-ranked, each compared with each
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """One item found.

    score: 0 to 100, the cosine as a percentage, negative ones 0; cosine: as it is; of several models the weighted mean.
    band: see `lens.search.bands`; item: its columns, plain values.
    models: each model's ``rank`` (None where it is beyond the depth looked at), ``cosine`` and ``band``; fused: the
        score that several were ordered by.
    """

    item_id: str
    score: float
    cosine: float
    band: Band
    item: dict[str, Any]
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    fused: float | None = None


@dataclass(frozen=True)
class Answer:
    """What a query found, best first.

    modality: of the query; models: those asked; seconds: for each stage; of several models the sums.
    """

    results: list[Result]
    modality: Modality
    models: tuple[str, ...]
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **vars(self),
            "models": list(self.models),
            "results": [dict(vars(one)) for one in self.results],
        }


@dataclass(frozen=True)
class Ranked:
    """Rows int64 [n] and cosines float32 [n], best first; the unit vector that was searched for in the end."""

    rows: npt.NDArray[np.int64]
    cosines: Vector
    searched: Vector


class Searcher:
    """A model with an index that it made.

    Args:
        embedder: may be None; then only items and groups can be asked for.
        reader: of the index.

    Raises LensError where the index is of another run, dimension or preparation of images, or of the run's weights
    before it was trained on.
    """

    def __init__(self, embedder: Embedder | None, reader: Reader) -> None:
        self.embedder, self.reader = embedder, reader
        self.bands = read_bands(reader.manifest)
        self.run_id: str | None = reader.manifest.get("run_id")
        self.name: str = reader.manifest["model"]["name"]
        if embedder is not None:
            expected_of(embedder).check(reader.manifest, reader.folder)

    def search(self, query: Query) -> Answer:
        """Put a query to the index. Raises LensError for what it cannot be asked."""
        clock = Clock()
        found = self.ranked(query, self.vector(query, clock), query.k, clock)
        with clock.stage("items"):
            results = []
            for rank, (item, one) in enumerate(
                zip(self.reader.items(found.rows), found.cosines, strict=True), 1
            ):
                cosine = float(one)
                band = self.bands.band(cosine, query.modality)
                about = {self.name: {"rank": rank, "cosine": cosine, "band": band}}
                results.append(Result(item["item_id"], float(shown_score(one)), cosine, band, item, about))
        return Answer(results, query.modality, (self.name,), clock.seconds)

    def vector(self, query: Query, clock: "Clock | None" = None) -> Vector:
        """The unit vector float32 [D] that a query searches for: the direction of its terms' weighted sum.

        Raises LensError for an unreadable image, an unknown item, a text without a text tower, a group of another
        model, and terms that cancel each other out.
        """
        clock = clock or Clock()
        total = np.zeros(self.reader.dimension)
        largest = max(
            abs(float(term.weight)) for term in query.terms
        )  # the sum's direction is all that counts
        means = self._means() if query.modality == "mixed" else (0.0, 0.0)
        for kind, read in (
            ("image", self._images),
            ("text", self._texts),
            ("item", self._items),
            ("group", self._groups),
        ):
            terms = [term for term in query.terms if getattr(term, kind) is not None]
            if terms:
                vectors = read([getattr(term, kind) for term in terms], clock)
                weights = np.array([float(term.weight) / largest for term in terms])
                total += weights @ (vectors.astype(np.float64) - means[kind == "text"])
        length = float(np.linalg.norm(total))
        if length < 1e-6:
            raise LensError("The terms of the query cancel each other out; nothing is left to search for.")
        return (total / length).astype(np.float32)

    def ranked(self, query: Query, vector: Vector, k: int, clock: "Clock") -> "Ranked":
        """The k best items for a query's vector, fewer where fewer meet the conditions.

        The cosines are those with the query as it was asked; after an expansion or a re-ranking they need not fall.
        """
        named = [term.item for term in query.terms if term.item is not None]
        depth = max(CANDIDATES, k, query.expand) if query.rerank or query.expand else k

        def look(asked: Vector, exclude: Sequence[str]) -> tuple[npt.NDArray[np.int64], Vector]:
            found = self.reader.search(asked[None], depth, where=query.where, exclude=exclude)
            there = found.rows[0] >= 0
            return found.rows[0][there], found.cosines[0][there]

        searched = vector
        with clock.stage("search"):
            if query.expand:
                first, near = look(vector, named)
                first, near = first[: query.expand], near[: query.expand]
                searched = expand(vector[None], self.reader.vectors(first)[None], near[None])[0]
            rows, cosines = look(searched, [] if query.keep_items else named)
            if query.expand:
                cosines = self.reader.vectors(rows) @ vector
        if query.rerank and len(rows):
            with clock.stage("rerank"):
                near = self.reader.vectors(rows[:MOST_RERANKED])
                order = np.argsort(k_reciprocal(searched, near), kind="stable")
                order = np.concatenate([order, np.arange(len(near), len(rows))])
                rows, cosines = rows[order], cosines[order]
        return Ranked(rows[:k], cosines[:k], searched)

    def group(
        self, name: str, images: Sequence[ImageSource | Image.Image] = (), items: Sequence[str] = ()
    ) -> Group:
        """A group learned from 1 to 20 images and items, told from up to 1,000 other items of the index at random.

        Raises LensError for unreadable images, unknown items, and too few or too many examples.
        """
        clock = Clock()
        parts = [self._images(images, clock)] if images else []
        parts += [self._items(items, clock)] if items else []
        examples = np.vstack(parts) if parts else np.zeros((0, self.reader.dimension), np.float32)
        others = self.reader.alive.copy()
        others[self.reader.find(items)] = False
        rows = np.flatnonzero(others)
        chosen = np.random.default_rng(0).choice(rows, min(NEGATIVES, len(rows)), replace=False)
        return learn(name, examples, self.reader.vectors(np.sort(chosen)), run_id=self.run_id)

    def _means(self) -> tuple[Any, Any]:
        """What images and texts have in common each, [D]; nothing where the index's bands are of uncentred queries."""
        mixed = (self.reader.manifest.get("bands") or {}).get("mixed", {})
        if not mixed.get("centred"):
            return 0.0, 0.0
        return np.array(mixed["image_mean"]), np.array(mixed["text_mean"])

    def _images(self, images: Sequence[ImageSource | Image.Image], clock: "Clock") -> Vector:
        embedder = self.embedder_for("image")
        with clock.stage("decode"):
            opened = [
                one.convert("RGB") if isinstance(one, Image.Image) else embedder.open(one) for one in images
            ]
        with clock.stage("embed"):
            return embedder.images(opened)

    def _texts(self, texts: Sequence[str], clock: "Clock") -> Vector:
        embedder = self.embedder_for("text")
        with clock.stage("embed"):
            return embedder.texts(texts)

    def _items(self, item_ids: Sequence[str], clock: "Clock") -> Vector:
        with clock.stage("items"):
            return self.reader.vectors(self.reader.find(item_ids))

    def _groups(self, groups: Sequence[Group], clock: "Clock") -> Vector:
        for group in groups:
            self.check_group(group)
        return np.stack([group.prototype for group in groups])

    def check_group(self, group: Group) -> None:
        """Raises LensError for a group that another model has learned."""
        if group.run_id != self.run_id or len(group.prototype) != self.reader.dimension:
            raise LensError(
                f"The group {group.name!r} was learned with run {group.run_id}, the index is of run {self.run_id}; "
                "learn it again with this model."
            )

    def embedder_for(self, kind: str) -> Embedder:
        """The model. Raises LensError where there is none at hand."""
        if self.embedder is None:
            raise LensError(
                f"No model is at hand for a query by {kind} of {self.reader.folder}; ask by items."
            )
        return self.embedder


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
