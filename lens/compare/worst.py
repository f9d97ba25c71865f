"""The queries that all candidates find hardest, with what each of them answers."""

from dataclasses import dataclass

import numpy as np

from lens.compare.candidates import Candidate, Trained
from lens.compare.comparison import Comparison
from lens.metrics import neighbours

DIFFICULTY = "map_at_r"


@dataclass(frozen=True)
class Found:
    """One answer: the item, its cosine to the query, and whether it is relevant."""

    item_id: str
    cosine: float
    relevant: bool


@dataclass(frozen=True)
class WorstQuery:
    """A query and what each candidate answers to it, nearest first, by the candidate's name."""

    item_id: str
    label: str
    score: float
    answers: dict[str, tuple[Found, ...]]


def worst_queries(comparison: Comparison, count: int = 6, k: int = 5) -> list[WorstQuery]:
    """The ``count`` queries of the lowest MAP@R in the mean of all comparable candidates, hardest first.

    At most two of a label, so that one difficult category does not hide the others; each candidate answers with its
    first run that tested the query.
    """
    compared = [
        one for one in comparison.comparable if np.array_equal(one.query_ids, comparison.best.query_ids)
    ]
    means = np.mean([one.per_query[DIFFICULTY] for one in compared], axis=0)
    queries, labels = comparison.best.query_ids, _labels(comparison.best)
    chosen: list[tuple[str, str, float]] = []
    for place in np.argsort(means, kind="stable"):
        label = labels[str(queries[place])]
        if sum(label == other for _, other, _ in chosen) < 2:
            chosen.append((str(queries[place]), label, float(means[place])))
        if len(chosen) == count:
            break
    answers = {one.name: _answers(one, [item for item, _, _ in chosen], k) for one in compared}
    return [
        WorstQuery(
            item, label, score, {name: found[item] for name, found in answers.items() if item in found}
        )
        for item, label, score in chosen
    ]


def _labels(candidate: Candidate) -> dict[str, str]:
    """Item id to what makes it relevant, of all items of the candidate's runs."""
    return {
        str(item): str(label)
        for run in candidate.runs
        for item, label in zip(run.embedded.items["item_id"], run.embedded.items[_column(run)], strict=True)
    }


def _column(run: Trained) -> str:
    return "category" if run.judged.relevance == "category" else "product_id"


def _answers(candidate: Candidate, wanted: list[str], k: int) -> dict[str, tuple[Found, ...]]:
    found: dict[str, tuple[Found, ...]] = {}
    for run in candidate.runs:
        tested = set(run.judged.query_ids)
        own = [item for item in wanted if item in tested and item not in found]
        if own:
            found |= _answers_of_run(run, own, k)
    return found


def _answers_of_run(run: Trained, wanted: list[str], k: int) -> dict[str, tuple[Found, ...]]:
    items, split = run.embedded.items, run.embedded.split
    rows = np.arange(len(items)) if split is None else np.flatnonzero(items["split"].to_numpy() == split)
    ids = items["item_id"].to_numpy(dtype=str)
    labels = items[_column(run)].to_numpy(dtype=str)
    gallery = rows[items["role"].to_numpy(dtype=str)[rows] != "query"]
    queries = np.array([rows[np.flatnonzero(ids[rows] == item)[0]] for item in wanted])
    vectors = run.embedded.vectors
    places, cosines = neighbours(vectors[queries], vectors[gallery], queries, gallery, k)
    answers = {}
    for line, query in enumerate(queries):
        there = places[line] >= 0
        answers[wanted[line]] = tuple(
            Found(ids[row], float(cosine), bool(labels[row] == labels[query]))
            for row, cosine in zip(gallery[places[line][there]], cosines[line][there], strict=True)
        )
    return answers
