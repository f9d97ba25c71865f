"""Judge a run, an index or any vectors on held-out data, or compare several runs: python evaluate.py --help."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lens.config import EvaluateConfig, entry, plain
from lens.tracking import find_run, several_runs, sweep_runs, tracking_uri


def evaluate(cfg: DictConfig) -> None:
    """Tables in the terminal; ``out=`` a JSON file, or for several runs a folder with a page."""
    from lens.compare.given import SEVERAL, source_of
    from lens.compare.score import write_result

    config = plain(cfg)
    source, uri = source_of(config), tracking_uri(config["uri"])
    if source in SEVERAL:
        _compare(uri, config)
        return
    result = _judge(uri, config) if config["triplets"] is None else _triplets(uri, config)
    if config["out"] is not None:
        write_result(Path(config["out"]), result)


def _judge(uri: str, config: dict[str, Any]) -> dict[str, Any]:
    """One source: its scores, and where asked for its robustness, its costs and other ways to ask."""
    from lens.compare.one import judge_one
    from lens.compare.queries import Asked
    from lens.compare.sources import embedded_run, open_run

    opened = None
    if config["run"] is not None:
        opened = open_run(uri, find_run(uri, config["experiment"], config["run"]), config.get("data"))
    found = embedded_run(opened, config["split"]) if opened else _read(config)
    asked = Asked(**{name: config[name] for name in ("texts", "attribute", "shots", "rerank")})
    how = {name: config[name] for name in ("relevance", "ties")}
    extras = {"robust": config["robustness"], "indicators": bool(config["indicators"]), "asked": asked}
    return judge_one(uri, found, opened, **how, **extras)


def _triplets(uri: str, config: dict[str, Any]) -> dict[str, Any]:
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
    return judge_agreement(uri, found, judgements, file)


def _read(config: dict[str, Any]) -> Any:
    from lens.compare.sources import embedded_files, embedded_index

    if config["vectors"] is not None:
        return embedded_files(config["vectors"], config["items"], config["split"])
    return embedded_index(config["index"], config["split"])


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
