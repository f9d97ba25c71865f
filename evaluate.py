"""Score a run, an index, or any vectors on held-out data: python evaluate.py --help."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lens.compare.score import as_result, print_result, print_runs, score_items, write_result
from lens.config import EvaluateConfig, build, entry, plain
from lens.errors import LensError
from lens.index import from_vectors, load
from lens.tracking import find_run, run_config, sweep_runs, tracking_uri

SOURCES = ("run", "index", "vectors", "sweep")


def evaluate(cfg: DictConfig) -> None:
    """One table of scores, and ``out=FILE.json`` where asked for."""
    config = plain(cfg)
    given = [name for name in SOURCES if config[name] is not None]
    if len(given) != 1:
        raise LensError(
            f"Give one of {', '.join(f'{name}=' for name in SOURCES)}; given: {', '.join(given) or 'none'}."
        )
    if config.get("data") and given != ["run"]:
        raise LensError("data= goes with run=RUN_ID only: vectors and indices bring their own items.")
    if (config["vectors"] is None) != (config["items"] is None):
        raise LensError("vectors=FILE.npy and items=FILE.csv go together.")
    if given == ["sweep"]:
        print_runs(sweep_runs(tracking_uri(config["uri"]), config["experiment"], config["sweep"]))
        return
    vectors, items, split, title, run_id = _read(config)
    relevance = config["relevance"]
    if config["run"] is not None and relevance is None:
        relevance = run_config(tracking_uri(config["uri"]), run_id)["data"]["relevance"]
    scores = score_items(vectors, items, relevance=relevance, split=config["split"] or split)
    print_result(title, scores)
    result = as_result(scores, source=title, split=config["split"] or split or "all", run_id=run_id)
    if config["run"] is not None:
        _log(config, run_id, result)
    if config["out"] is not None:
        write_result(Path(config["out"]), result)


def _read(config: dict[str, Any]) -> tuple[Any, Any, str | None, str, Any]:
    """Vectors, items, the side to be judged, a title, and the run's id."""
    if config["vectors"] is not None:
        vectors, items = from_vectors(config["vectors"], config["items"])
        return vectors, items, None, str(config["vectors"]), None
    if config["index"] is not None:
        index = load(config["index"])
        sides = set(index.items["split"])
        return (
            index.vectors,
            index.items,
            "test" if "test" in sides else None,
            config["index"],
            index.manifest["run_id"],
        )
    uri = tracking_uri(config["uri"])
    run_id = find_run(uri, config["experiment"], config["run"])
    vectors, items, split = _embed(uri, run_id, config.get("data"))
    return vectors, items, split, f"run {run_id}", run_id


def _embed(uri: str, run_id: str, other: dict[str, Any] | None) -> tuple[Any, Any, str | None]:
    """The run's own test items, or all items of other data, by the run's best checkpoint."""
    import numpy as np

    from lens.compare.trained import load_model
    from lens.index.embedding import embed_all
    from lens.report import quiet_libraries

    quiet_libraries()
    trained = run_config(uri, run_id)
    node = trained["data"] if other is None else {**other, "image_size": trained["data"]["image_size"]}
    data = build(node)
    data.setup("test" if other is None else "predict")
    rows = data.rows("test") if other is None else np.arange(len(data.catalogue))
    model = load_model(uri, run_id, trained)
    vectors = embed_all(
        model.embed_images, data.evaluation_loader(rows), device=model.device, progress="embedding"
    )
    items = data.catalogue.table.assign(split=data.side).iloc[rows].reset_index(drop=True)
    return vectors, items, "test" if other is None else None


def _log(config: dict[str, Any], run_id: str, result: dict[str, Any]) -> None:
    from lens.tracking import log_evaluation

    place = (
        "own" if config.get("data") is None else str(config["data"].get("root") or config["data"].get("path"))
    )
    log_evaluation(tracking_uri(config["uri"]), run_id, {**result, "data": place})


main = entry(
    evaluate, config_name="evaluate", schema=EvaluateConfig, config_path=Path(__file__).parent / "conf"
)

if __name__ == "__main__":
    main()
