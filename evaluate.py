"""Score a run, an index, or any vectors on held-out data: python evaluate.py --help."""

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lens.compare.score import as_result, print_result, print_runs, score_items, write_result
from lens.compare.sources import Embedded, embedded_files, embedded_index, embedded_run
from lens.config import EvaluateConfig, entry, plain
from lens.errors import LensError
from lens.tracking import find_run, log_evaluation, sweep_runs, tracking_uri

SOURCES = ("run", "index", "vectors", "sweep")


def evaluate(cfg: DictConfig) -> None:
    """One table of scores, and ``out=FILE.json`` where asked for."""
    config = plain(cfg)
    _check_sources(config)
    uri = tracking_uri(config["uri"])
    if config["sweep"] is not None:
        print_runs(sweep_runs(uri, config["experiment"], config["sweep"]))
        return
    judged = _read(config, uri)
    relevance = config["relevance"] or judged.relevance
    scores = score_items(judged.vectors, judged.items, relevance=relevance, split=judged.split)
    print_result(judged.title, scores)
    result = as_result(
        scores, source=judged.title, data=judged.data, split=judged.split or "all", run_id=judged.run_id
    )
    if judged.run_id is not None:
        _log(uri, judged.run_id, result, needed=config["run"] is not None)
    if config["out"] is not None:
        write_result(Path(config["out"]), result)


def _check_sources(config: dict[str, Any]) -> None:
    given = [name for name in SOURCES if config[name] is not None]
    if len(given) != 1:
        raise LensError(
            f"Give one of {', '.join(f'{name}=' for name in SOURCES)}; given: {', '.join(given) or 'none'}."
        )
    if config.get("data") and given != ["run"]:
        raise LensError("data= goes with run=RUN_ID only: vectors and indices bring their own items.")
    if (config["vectors"] is None) != (config["items"] is None):
        raise LensError("vectors=FILE.npy and items=FILE.csv go together.")


def _read(config: dict[str, Any], uri: str) -> Embedded:
    if config["vectors"] is not None:
        return embedded_files(config["vectors"], config["items"], config["split"])
    if config["index"] is not None:
        return embedded_index(config["index"], config["split"])
    run_id = find_run(uri, config["experiment"], config["run"])
    return embedded_run(uri, run_id, config.get("data"), config["split"])


def _log(uri: str, run_id: str, result: dict[str, Any], needed: bool) -> None:
    """To the run's record; an index may have come from another machine, without its run."""
    try:
        log_evaluation(uri, run_id, result)
    except LensError as error:
        if needed:
            raise
        print(f"Not logged: {error}", file=sys.stderr)


main = entry(
    evaluate, config_name="evaluate", schema=EvaluateConfig, config_path=Path(__file__).parent / "conf"
)

if __name__ == "__main__":
    main()
