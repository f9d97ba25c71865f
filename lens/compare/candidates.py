"""Runs that differ in seed and fold alone are one candidate: one way to train, judged by all its runs together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lens.compare.judge import HEADLINE, Judged
from lens.compare.sources import Embedded
from lens.metrics import Interval, Spread, intervals, spread
from lens.tracking import RunFacts

# Settings that two runs of one candidate may differ in.
_FREE = ("seed", "name", "resume", "data.fold", "data.seed", "callbacks.", "logger.", "trainer.progress")


@dataclass(frozen=True)
class Trained:
    """A tracked run with the vectors of its items and how they were judged."""

    facts: RunFacts
    embedded: Embedded
    judged: Judged


@dataclass(frozen=True)
class Candidate:
    """One way to train.

    per_query: metric to float64 [Q], each query's mean over the runs that tested it, in the order of ``query_ids``.
    intervals: of these, over queries (over products where these have several queries).
    seeds: mean and spread of the headline metric over the runs' own means; of one run the spread is NaN.
    data: the fingerprints of what the runs were judged on.
    """

    name: str
    runs: tuple[Trained, ...]
    per_query: dict[str, np.ndarray]
    query_ids: np.ndarray
    products: np.ndarray
    intervals: dict[str, Interval]
    seeds: Spread
    data: frozenset[str]

    @property
    def folds(self) -> bool:
        """Whether the runs are folds of a cross-validation."""
        return len({run.facts.params.get("data.fold") for run in self.runs}) > 1

    def mean(self, metric: str) -> float:
        """Mean over the runs of a logged metric; NaN where none has it."""
        values = [run.facts.metrics[metric] for run in self.runs if metric in run.facts.metrics]
        return float(np.mean(values)) if values else float("nan")


def candidates(trained: Sequence[Trained]) -> list[Candidate]:
    """Group runs by their settings, in the order of their first runs."""
    groups: dict[tuple[tuple[str, str], ...], list[Trained]] = {}
    for run in trained:
        groups.setdefault(_settings(run.facts), []).append(run)
    names = _names([[run.facts for run in runs] for runs in groups.values()])
    return [_candidate(name, runs) for name, runs in zip(names, groups.values(), strict=True)]


def spread_of_shares(values: Sequence[float], test_share: float | None = None) -> Spread:
    """Mean and spread of runs' own figures; NaN is left out, and no limit lies outside 0 to 1.

    test_share: of folds, which share most of their training items (Nadeau and Bengio 2003), see `lens.metrics.spread`.
    """
    found = spread(np.array([value for value in values if np.isfinite(value)]), test_share=test_share)
    return replace(found, low=float(np.clip(found.low, 0, 1)), high=float(np.clip(found.high, 0, 1)))


def _settings(facts: RunFacts) -> tuple[tuple[str, str], ...]:
    """All that makes two runs the same way to train: their settings without seed and fold, and the first weights."""
    kept = {key: value for key, value in facts.params.items() if not key.startswith(_FREE)}
    return tuple(sorted({**kept, "weights": facts.tags.get("weights", "")}.items()))


def _candidate(name: str, runs: list[Trained]) -> Candidate:
    parts = [
        pd.DataFrame(run.judged.scores.per_query).assign(
            query=run.judged.query_ids, product=run.judged.products
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
        intervals(per_query, clusters),
        spread_of_shares(own),
        frozenset(f"{run.embedded.fingerprint}/{run.judged.relevance}" for run in runs),
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
    words = facts.tags.get("overrides", "").split()
    free = ("model=", *(f"{key}=" if not key.endswith(".") else key for key in _FREE))
    return [word for word in words if not word.startswith(free)]
