"""Runs that differ in seed and fold alone are one candidate: one way to train, judged by all its runs together."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lens.compare.judge import HEADLINE, Judged
from lens.compare.sources import Embedded
from lens.metrics import Interval, Spread, intervals, spread
from lens.tracking import RunFacts

# Settings that two runs of one candidate may differ in: which repeat it is, where it ran, what was shown meanwhile.
_FREE = frozenset(
    (
        "seed",
        "model.export",
        "name",
        "resume",
        "data.fold",
        "data.seed",
        "data.root",
        "data.path",
        "data.workers",
        "data.memory_mb",
    )
    + ("data.progress", "trainer.progress", "trainer.accelerator", "trainer.devices", "trainer.num_nodes")
    + ("trainer.checkpoint_steps", "trainer.log_steps")
)
_FREE_PARTS = ("engine.", "logger.", "callbacks.pictures.", "callbacks.speed.", "callbacks.retrieval.")


@dataclass(frozen=True)
class Trained:
    """A tracked run with the vectors of its items and how they were judged."""

    facts: RunFacts
    embedded: Embedded
    judged: Judged


@dataclass(frozen=True)
class Candidate:
    """One way to train.

    per_query: metric to float64 [Q], each query's mean over the runs that tested it, in the order of ``query_ids``;
        products, query_categories: str [Q].
    intervals: of these, over queries (over products where these have several queries).
    seeds: mean and spread of the headline metric over the runs' own means; of one run the spread is NaN.
    data: the fingerprints of what the runs were judged on.
    """

    name: str
    runs: tuple[Trained, ...]
    per_query: dict[str, np.ndarray]
    query_ids: np.ndarray
    products: np.ndarray
    query_categories: np.ndarray
    intervals: dict[str, Interval]
    seeds: Spread
    data: frozenset[str]

    @property
    def folds(self) -> bool:
        """Whether the runs are folds of a cross-validation."""
        return len({run.facts.params.get("data.fold") for run in self.runs}) > 1

    @property
    def chance(self) -> float:
        """What a random order scores in the headline metric, in the mean of the runs."""
        return float(np.mean([run.judged.scores.chance[HEADLINE] for run in self.runs]))

    def mean(self, metric: str) -> float:
        """Mean over the runs of a logged metric; NaN where none has it."""
        values = [run.facts.metrics[metric] for run in self.runs if metric in run.facts.metrics]
        return float(np.mean(values)) if values else float("nan")


def candidates(trained: Sequence[Trained]) -> list[Candidate]:
    """Group runs by their settings and data, in the order of their first runs.

    A repeat, of equal settings, seed and fold, is no second seed: it begins a candidate of its own.
    """
    groups: dict[tuple[Any, ...], list[Trained]] = {}
    seen: Counter[tuple[Any, ...]] = Counter()
    for run in trained:
        settings, params = _settings(run), run.facts.params
        which = (settings, params.get("seed"), params.get("data.fold"))
        groups.setdefault((settings, seen[which]), []).append(run)
        seen[which] += 1
    names = _names([[run.facts for run in runs] for runs in groups.values()])
    return [_candidate(name, runs) for name, runs in zip(names, groups.values(), strict=True)]


def spread_of_shares(values: Sequence[float], test_share: float | None = None) -> Spread:
    """Mean and spread of runs' own figures; NaN is left out, and no limit lies outside 0 to 1.

    test_share: of folds, which share most of their training items (Nadeau and Bengio 2003), see `lens.metrics.spread`.
    """
    found = spread(np.array([value for value in values if np.isfinite(value)]), test_share=test_share)
    return replace(found, low=float(np.clip(found.low, 0, 1)), high=float(np.clip(found.high, 0, 1)))


def _settings(run: Trained) -> tuple[tuple[str, str], ...]:
    """All that makes two runs the same way to train: their settings, the first weights, and the data.

    The folds of one collection have different splits, so different fingerprints.
    """
    params = run.facts.params
    kept = {
        key: value for key, value in params.items() if key not in _FREE and not key.startswith(_FREE_PARTS)
    }
    kept["weights"] = run.facts.tags.get("weights", "")
    if params.get("data.folds", "None") == "None":
        kept["data"] = data_key(run)
    return tuple(sorted(kept.items()))


def data_key(run: Trained) -> str:
    """Equal for runs that were judged on the same items by the same relevance."""
    ids = "\n".join(sorted(run.judged.query_ids))
    mark = run.embedded.fingerprint or hashlib.sha256(ids.encode()).hexdigest()
    return f"{mark}/{run.judged.relevance}"


def _candidate(name: str, runs: list[Trained]) -> Candidate:
    parts = [
        pd.DataFrame(run.judged.scores.per_query).assign(
            query=run.judged.query_ids,
            product=run.judged.products,
            category=run.judged.query_categories,
        )
        for run in runs
    ]
    together = pd.concat(parts, ignore_index=True).groupby("query", sort=True)
    means = together.mean(numeric_only=True)
    products = together["product"].first().to_numpy(dtype=str)
    per_query = {str(metric): means[metric].to_numpy() for metric in means}
    clusters = np.unique(products, return_inverse=True)[1]
    own = [run.judged.scores.metrics[HEADLINE] for run in runs]
    return Candidate(
        name,
        tuple(runs),
        per_query,
        means.index.to_numpy(dtype=str),
        products,
        together["category"].first().to_numpy(dtype=str),
        intervals(per_query, clusters),
        spread_of_shares(own),
        frozenset(map(data_key, runs)),
    )


def _names(groups: list[list[RunFacts]]) -> list[str]:
    """The model of each group; where several have it, with the words of its command that not all of these have."""
    models = [facts[0].params.get("model_name", facts[0].name) for facts in groups]
    names = []
    for facts, model in zip(groups, models, strict=True):
        alike = [_words(other[0]) for other, its in zip(groups, models, strict=True) if its == model]
        shared = set.intersection(*map(set, alike))
        names.append(" ".join([model, *(_brief(word) for word in _words(facts[0]) if word not in shared)]))
    twice = {name for name in names if names.count(name) > 1}
    return [
        f"{name} [{facts[0].run_id[:8]}]" if name in twice else name
        for name, facts in zip(names, groups, strict=True)
    ]


def _brief(word: str) -> str:
    """``model.learning_rate=1e-3`` as ``learning_rate=1e-3``."""
    key, sign, value = word.partition("=")
    return f"{key.rpartition('.')[2]}{sign}{value}"


def _words(facts: RunFacts) -> list[str]:
    words = [word.lstrip("+") for word in facts.tags.get("overrides", "").split()]
    keys = [word.partition("=")[0] for word in words]
    return [
        word
        for key, word in zip(keys, words, strict=True)
        if key not in {"model", *_FREE} and not key.startswith(_FREE_PARTS)
    ]
