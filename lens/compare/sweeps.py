"""What a finished sweep says as a whole: kept with its parent run, and shown in the terminal."""

from lens.compare import tables
from lens.compare.candidates import Candidate
from lens.compare.comparison import Comparison, verdicts
from lens.compare.folds import CrossValidation
from lens.compare.judge import HEADLINE
from lens.compare.page import Findings
from lens.compare.several import compare_runs, findings, keep, pictures_of, print_quality, read_runs
from lens.metrics import Interval
from lens.tracking import add_to_run, sweep_runs


def summarise(uri: str, experiment: str, parent: str) -> None:
    """Judge a sweep's runs together: seeds and folds become means with intervals, the rest is compared.

    The parent run gets the figures of the best way to train under the names that its children use (``test/...``), those
    of a cross-validation as ``folds/...``, ``out_of_fold/...`` and ``whole/...``, and the page of the comparison.
    Raises LensError where no run can be judged or the store refuses.
    """
    _, facts = sweep_runs(uri, experiment, parent)
    comparison = compare_runs(*read_runs(uri, facts))
    found = findings(uri, comparison, indicators=False)
    add_to_run(uri, parent, metrics=figures(comparison, found), tags={"best": comparison.best.name})
    keep(uri, experiment, parent, f"Sweep {parent[:8]}", found, None, pictures_of(uri, comparison, None))
    print_quality(comparison)
    if found.folds:
        tables.print_table("Cross-validation, precision@1", tables.folds(found.folds))
    for line in verdicts(comparison):
        print(line)


def figures(comparison: Comparison, found: Findings) -> dict[str, float]:
    """The best candidate's figures as metrics of the parent run."""
    best = comparison.best
    values = {"sweep/runs": float(sum(len(one.runs) for one in comparison.candidates))}
    for name, one in best.intervals.items():
        values |= _interval(f"test/{name}", one)
    values["test/queries"] = float(best.intervals[HEADLINE].queries)
    for name in ("train/loss_epoch", "val/loss", "test/loss", f"val/{HEADLINE}", f"gap/{HEADLINE}"):
        values[name] = best.mean(name)
    if len(best.runs) > 1:
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
