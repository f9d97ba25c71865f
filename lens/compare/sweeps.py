"""What a finished sweep says as a whole: kept with its parent run, and shown in the terminal."""

from lens.compare import tables
from lens.compare.aggregate import figures
from lens.compare.comparison import verdicts
from lens.compare.several import compare_runs, findings, keep, pictures_of, print_quality, read_runs
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
