"""Judge a run, an index or any vectors on held-out data, or compare several runs: python evaluate.py --help."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lens.config import EvaluateConfig, entry, plain
from lens.errors import LensError
from lens.tracking import find_run, several_runs, sweep_runs, tracking_uri

SOURCES = ("run", "runs", "sweep", "index", "vectors")


def evaluate(cfg: DictConfig) -> None:
    """Tables in the terminal; ``out=`` a JSON file, or for several runs a folder with a page."""
    config = plain(cfg)
    source = _source(config)
    uri = tracking_uri(config["uri"])
    if source in ("runs", "sweep"):
        _compare(uri, config)
    elif config["triplets"] is not None:
        _triplets(uri, config)
    else:
        _judge(uri, config)


def _source(config: dict[str, Any]) -> str:
    given = [name for name in SOURCES if config[name] is not None]
    if len(given) != 1:
        raise LensError(
            f"Give one of {', '.join(f'{name}=' for name in SOURCES)}; given: {', '.join(given) or 'none'}."
        )
    if config.get("data") and given[0] not in SOURCES[:3]:
        raise LensError("data= goes with run=, runs= or sweep=: vectors and indices bring their own items.")
    if (config["vectors"] is None) != (config["items"] is None):
        raise LensError("vectors=FILE.npy and items=FILE.csv go together.")
    if config["triplets"] is not None and given[0] in ("runs", "sweep"):
        raise LensError("triplets= goes with run=, index= or vectors=: one model at a time.")
    if config["robustness"] and given[0] in ("index", "vectors"):
        raise LensError(
            "robustness=true needs run=, runs= or sweep=: without the model no picture can be embedded."
        )
    if config["indicators"] and given[0] in ("index", "vectors"):
        raise LensError("indicators=true needs run=, runs= or sweep=: there is no model to measure.")
    out = config["out"]
    if out is not None and given[0] not in ("runs", "sweep") and Path(out).is_dir():
        raise LensError(f"out={out} is a folder; give a file, such as {Path(out) / 'scores.json'}.")
    if config["triplets"] is not None and (config["robustness"] or config["indicators"]):
        raise LensError("triplets= is judged alone: leave robustness= and indicators= out.")
    return given[0]


def _judge(uri: str, config: dict[str, Any]) -> None:
    """One source: its scores, and where asked for its robustness and its costs."""
    from lens.compare.one import judge_one
    from lens.compare.sources import embedded_run, open_run

    opened = None
    if config["run"] is not None:
        opened = open_run(uri, find_run(uri, config["experiment"], config["run"]), config.get("data"))
    found = embedded_run(opened, config["split"]) if opened else _read(config)
    how = {name: config[name] for name in ("relevance", "ties")}
    extras = {"robust": config["robustness"], "indicators": bool(config["indicators"])}
    _write(config["out"], judge_one(uri, found, opened, **how, **extras))


def _triplets(uri: str, config: dict[str, Any]) -> None:
    """One source: how far it agrees with people."""
    from lens.compare.one import judge_agreement
    from lens.compare.sources import embedded_triplets
    from lens.compare.triplets import read_triplets

    file = config["triplets"]
    if config["run"] is not None:
        run_id = find_run(uri, config["experiment"], config["run"])
        found, judgements = embedded_triplets(uri, run_id, file, config.get("data"))
    else:
        judgements, found = read_triplets(file), _read(config)
    _write(config["out"], judge_agreement(uri, found, judgements, file))


def _read(config: dict[str, Any]) -> Any:
    from lens.compare.sources import embedded_files, embedded_index

    if config["vectors"] is not None:
        return embedded_files(config["vectors"], config["items"], config["split"])
    return embedded_index(config["index"], config["split"])


def _write(out: str | None, result: dict[str, Any]) -> None:
    from lens.compare.score import write_result

    if out is not None:
        write_result(Path(out), result)


def _compare(uri: str, config: dict[str, Any]) -> None:
    """Several runs: tables in the terminal, a page in the store and in ``out``."""
    from lens.compare.several import compare_and_keep

    parent = None
    if config["sweep"] is not None:
        parent, runs = sweep_runs(uri, config["experiment"], config["sweep"])
    else:
        runs = several_runs(uri, config["experiment"], config["runs"])
    compare_and_keep(
        uri,
        config["experiment"],
        parent,
        runs,
        other=config.get("data"),
        how={name: config[name] for name in ("split", "relevance", "ties")},
        indicators=config["indicators"] is not False,
        robust=config["robustness"],
        out=Path(config["out"]) if config["out"] is not None else None,
    )


main = entry(
    evaluate, config_name="evaluate", schema=EvaluateConfig, config_path=Path(__file__).parent / "conf"
)

if __name__ == "__main__":
    main()
