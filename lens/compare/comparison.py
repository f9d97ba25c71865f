"""Several candidates side by side: who is best, by how much, and whether that can be claimed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lens.compare.candidates import Candidate
from lens.compare.judge import HEADLINE
from lens.errors import LensError
from lens.metrics import Difference, holm, paired_difference

LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """Candidates, best first; those judged on other data come last and are compared with nobody.

    differences: candidate name to its headline metric less the best's, on the same queries; not for the best.
    adjusted: candidate name to the p-value of that difference, corrected for their number (Holm 1979).
    other_data: names of candidates that were judged on other data than most.
    left_out: run to the reason why it is not here.
    """

    candidates: tuple[Candidate, ...]
    differences: dict[str, Difference]
    adjusted: dict[str, float]
    other_data: frozenset[str]
    left_out: Mapping[str, str]

    @property
    def best(self) -> Candidate:
        return self.candidates[0]

    @property
    def comparable(self) -> tuple[Candidate, ...]:
        """Those judged on the data of the best."""
        return tuple(one for one in self.candidates if one.name not in self.other_data)


def compare(found: Sequence[Candidate], left_out: Mapping[str, str] | None = None) -> Comparison:
    """Compare each candidate with the best, pairwise on the same queries.

    Raises LensError where there is no candidate to judge.
    """
    if not found:
        reasons = "; ".join(f"{run}: {reason}" for run, reason in (left_out or {}).items())
        raise LensError(f"None of the runs can be judged ({reasons or 'there are none'}).")
    data = Counter(one.data for one in found).most_common(1)[0][0]
    same = [one for one in found if one.data == data]
    others = [one for one in found if one.data != data]
    same.sort(key=_headline, reverse=True)
    best = same[0]
    differences = {
        one.name: paired_difference(
            one.per_query[HEADLINE],
            best.per_query[HEADLINE],
            np.unique(best.products, return_inverse=True)[1],
        )
        for one in same[1:]
        if np.array_equal(one.query_ids, best.query_ids)
    }
    adjusted = _adjusted([difference.p_value for difference in differences.values()], len(same))
    return Comparison(
        (*same, *others),
        differences,
        dict(zip(differences, adjusted, strict=True)),
        frozenset(one.name for one in others),
        dict(left_out or {}),
    )


def _adjusted(p_values: list[float], candidates: int) -> list[float]:
    """Holm's correction over all pairs of candidates, of which those with the best are at hand.

    The best was found on the same queries, so any pair might have been the one looked at. The p-values of the other
    pairs count as larger than these, which can only make the correction stricter.
    """
    pairs = candidates * (candidates - 1) // 2
    others = np.ones(pairs - len(p_values))
    return [float(value) for value in holm(np.concatenate([p_values, others]))[: len(p_values)]]


def _headline(candidate: Candidate) -> float:
    value = candidate.intervals[HEADLINE].mean
    return value if np.isfinite(value) else -1.0


def verdicts(comparison: Comparison) -> list[str]:
    """The comparison in sentences: the best, what cannot be told from it, what is worse, and what to beware of."""
    best, at = comparison.best, comparison.best.intervals[HEADLINE]
    if not at.queries:
        return ["No query has a relevant item, so nothing can be judged.", *_left_out(comparison)]
    alone = len(comparison.comparable) == 1
    figures = f"precision@1 {at.mean:.3f} ({at.low:.3f} to {at.high:.3f}) on {at.queries} queries"
    lines = [f"{best.name}: {figures}." if alone else f"{best.name} is best: {figures}."]
    equal = [name for name, p in comparison.adjusted.items() if not p < LEVEL]
    worse = [name for name, p in comparison.adjusted.items() if p < LEVEL]
    if equal:
        lines.append(f"No difference to it can be claimed for: {'; '.join(equal)}.")
    if worse:
        lines.append(f"Worse than it on such queries, by more than chance explains: {'; '.join(worse)}.")
    if comparison.other_data:
        lines.append(
            "Judged on other items or folds or by another relevance, so not to be compared (relevance= and data= judge "
            f"all alike): {'; '.join(sorted(comparison.other_data))}."
        )
    if at.low <= best.chance:
        lines.append(f"Even {best.name} is not above chance, which has precision@1 {best.chance:.3f}.")
    if not alone:
        lines.append(
            "These are claims about the trained models. Another seed moves each of them: ± in the table, from two on."
        )
    return lines + _left_out(comparison)


def _left_out(comparison: Comparison, shown: int = 3) -> list[str]:
    """The runs that are not here: each with its reason, or their number where there are many."""
    lines = [f"Left out: {run}: {reason}." for run, reason in comparison.left_out.items()]
    more = len(lines) - shown
    return lines if more <= 0 else [*lines[:shown], f"Left out: {more} more runs."]


def quality_table(comparison: Comparison) -> pd.DataFrame:
    """One row a candidate: runs, queries, quality with intervals, difference to the best, losses, gap, origin."""
    rows = []
    for one in comparison.candidates:
        row: dict[str, object] = {"model": one.name, "runs": len(one.runs)}
        row["queries"] = one.intervals[HEADLINE].queries
        for metric, interval in one.intervals.items():
            row[metric], row[f"{metric}_low"], row[f"{metric}_high"] = (
                interval.mean,
                interval.low,
                interval.high,
            )
        row["chance_precision_at_1"] = one.chance
        row["precision_at_1_sd_of_runs"] = one.seeds.sd
        difference = comparison.differences.get(one.name)
        if difference is not None:
            row["difference_to_best"] = difference.mean
            row["difference_low"], row["difference_high"] = difference.low, difference.high
            row["p_value"], row["p_adjusted"] = difference.p_value, comparison.adjusted[one.name]
        row["verdict"] = _verdict(comparison, one)
        row["train_loss"], row["test_loss"] = one.mean("train/loss_epoch"), one.mean("test/loss")
        row["gap"] = _gap(one)
        row["weights"] = _all_of(one, "weights")
        row["commit"] = _all_of(one, "git.commit", 8)
        row["data"] = " ".join(sorted(part.split("/")[0][:8] for part in one.data))
        row["run_ids"] = " ".join(run.facts.run_id for run in one.runs)
        rows.append(row)
    return pd.DataFrame(rows)


def _verdict(comparison: Comparison, one: Candidate) -> str:
    if one.name in comparison.other_data:
        return "other data"
    if one is comparison.best:
        return "best"
    if one.name not in comparison.adjusted:
        return "other queries"
    return "worse" if comparison.adjusted[one.name] < LEVEL else "no difference can be claimed"


def _gap(one: Candidate) -> float:
    """Train subset less validation, at the last epoch, from the two where an older run did not log it."""
    logged = one.mean(f"gap/{HEADLINE}")
    return logged if np.isfinite(logged) else one.mean(f"train/{HEADLINE}") - one.mean(f"val/{HEADLINE}")


def _all_of(one: Candidate, tag: str, width: int | None = None) -> str:
    return " ".join(sorted({run.facts.tags.get(tag, "-")[:width] for run in one.runs}))


def settings_table(comparison: Comparison) -> pd.DataFrame:
    """The settings that differ between the candidates: one row a setting, one column a candidate."""
    columns = {one.name: one.runs[0].facts.params for one in comparison.candidates}
    keys = sorted({key for params in columns.values() for key in params} - {"name", "seed", "data.fold"})
    rows = {key: {name: params.get(key, "") for name, params in columns.items()} for key in keys}
    differ = {key: row for key, row in rows.items() if len(set(row.values())) > 1}
    return pd.DataFrame.from_dict(differ, orient="index", columns=list(columns))
