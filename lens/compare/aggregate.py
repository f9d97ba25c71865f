"""The figures of a sweep as a whole, as metrics of its parent run."""

from lens.compare.candidates import Candidate
from lens.compare.comparison import Comparison
from lens.compare.folds import CrossValidation
from lens.compare.judge import HEADLINE
from lens.compare.page import Findings
from lens.metrics import Interval


def figures(comparison: Comparison, found: Findings) -> dict[str, float]:
    """The best candidate's figures as metrics of the parent run."""
    best = comparison.best
    values = {"sweep/runs": float(sum(len(one.runs) for one in comparison.candidates))}
    for name, one in best.intervals.items():
        values |= _interval(f"test/{name}", one)
    values["test/queries"] = float(best.intervals[HEADLINE].queries)
    for name in ("train/loss_epoch", "val/loss", "test/loss", f"val/{HEADLINE}", f"gap/{HEADLINE}"):
        values[name] = best.mean(name)
    if len(best.runs) > 1 and not best.folds:
        values |= _spread(best)
    if best.name in found.folds:
        values |= _folds(found.folds[best.name])
    return values


def _interval(name: str, one: Interval) -> dict[str, float]:
    return {name: one.mean, f"{name}_low": one.low, f"{name}_high": one.high}


def _spread(best: Candidate) -> dict[str, float]:
    name = f"runs/{HEADLINE}"
    return {
        name: best.seeds.mean,
        f"{name}_sd": best.seeds.sd,
        f"{name}_low": best.seeds.low,
        f"{name}_high": best.seeds.high,
    }


def _folds(one: CrossValidation) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, values in (("out_of_fold", one.out_of_fold.intervals), ("whole", one.whole)):
        for metric in (HEADLINE, "map_at_r"):
            found |= _interval(f"{name}/{metric}", values[metric])
    mean = {"mean": one.folds.mean, "sd": one.folds.sd, "low": one.folds.low, "high": one.folds.high}
    return found | {f"folds/{HEADLINE}_{key}": value for key, value in mean.items()}
