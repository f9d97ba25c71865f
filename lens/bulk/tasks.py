"""What `python -m lens.index` does beside answering: embed, bring up to date, compact, verify."""

import json
import tempfile
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from lens.bulk.build import Made, build_index, check_free, unreadable_list
from lens.bulk.embedding import Changes, How
from lens.bulk.source import source_of
from lens.bulk.update import update_index, waiting_changes
from lens.errors import LensError
from lens.files import at_home
from lens.index import EngineSettings, load, open_index, write
from lens.search.embedder import expected_of
from lens.tracking import download, find_run, run_config, tracking_uri
from lens.trained import embedder_of

_SHOWN = 5


def build(config: dict[str, Any]) -> None:
    """run=, data= and out=: a new index. Raises LensError, see `build_index`."""
    target, settings = at_home(config["out"]), how(config)
    check_free(target)
    engine = EngineSettings.from_dict(config["engine"])
    source = source_of(config["data"])
    uri = tracking_uri(config["uri"])
    run_id = find_run(uri, config["experiment"], config["run"])
    embedder = embedder_of(uri, run_id)
    made = made_by(uri, run_id, embedder)
    changes = build_index(target, source, made, embedder, settings, engine)
    embedded = changes.new + changes.changed
    print(f"{target}: {embedded + changes.kept} items, {embedded} of them embedded now.")
    tell_unreadable(target, changes)


def update(config: dict[str, Any]) -> None:
    """update=: an index as its images are now. Raises LensError, see `update_index`."""
    folder, settings = at_home(config["update"]), how(config)
    source = source_of(config["data"]) if config.get("data") else None
    with open_index(folder) as reader:
        manifest = reader.manifest
    uri = tracking_uri(config["uri"])
    if config["run"] is not None:
        run_id = find_run(uri, config["experiment"], config["run"])
    elif manifest.get("run_id"):
        run_id = manifest["run_id"]
    else:
        raise LensError(f"{folder} names no run; give run=RUN_ID, the run whose model embedded it.")
    embedder = embedder_of(uri, run_id)
    expected_of(embedder).check(manifest, folder)
    changes = update_index(folder, source, embedder, settings)
    print(
        f"{folder}: {changes.new} new, {changes.changed} changed, {changes.described} with other data, "
        f"{changes.dropped} dropped, {changes.kept} as they were."
    )
    tell_unreadable(folder, changes)


def compact(config: dict[str, Any]) -> None:
    """compact=: the changes folded into the files. Raises LensError where it is no index, or another process writes."""
    folder = at_home(config["compact"])
    open_index(folder).close()  # before the writer leaves a lock beside what is no index
    with write(folder) as writer:
        writer.compact()
    print(f"{folder}: {waiting_changes(folder)[2]} items, all of them in its files.")


def verify(config: dict[str, Any]) -> None:
    """verify=: every byte checked, and what the index holds. Raises LensError naming what is wrong."""
    folder = at_home(config["verify"])
    index = load(folder, verify=True)
    manifest = index.manifest
    added, lost, _ = waiting_changes(folder)
    engine = manifest.get("engine") or {}
    table = Table(title=f"{folder} is whole", box=box.SIMPLE_HEAD, show_header=False)
    recall = engine.get("recall_at_10")
    rows = {
        "items": f"{len(index.items)}, {index.vectors.shape[1]} values each",
        "categories": str(index.items["category"].nunique()),
        "columns": ", ".join(index.items.columns),
        "model": str(manifest["model"].get("name")),
        "run": str(manifest.get("run_id") or "none"),
        "images": str((manifest.get("catalogue") or {}).get("root") or "unknown"),
        "preprocessing": ", ".join(f"{key} {value}" for key, value in manifest["preprocessing"].items()),
        "engine": str(engine.get("kind", "exact")) + ("" if recall is None else f", recall@10 {recall:.4f}"),
        "bands": ", ".join((manifest.get("bands") or {}).keys()) or "the default ones",
        "changes": f"{added} rows added, {lost} replaced or dropped since the files were written",
        "written": str(manifest.get("created")),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    Console(soft_wrap=True, markup=False, emoji=False).print(table)  # names and paths as they are


def made_by(uri: str, run_id: str, embedder: Any) -> Made:
    """What an index of the run's vectors says of them; the bands are those of the index that the run exported."""
    trained = run_config(uri, run_id)
    part = trained["model"]
    try:
        with tempfile.TemporaryDirectory() as folder:
            manifest = json.loads(
                download(uri, run_id, "index/manifest.json", folder).read_text(encoding="utf-8")
            )
    except LensError:  # a run may have exported nothing
        manifest = {}
    return Made(
        model={
            "name": trained.get("model_name"),
            "target": part["_target_"],
            "config": part,
            "weights": embedder.weights,
        },
        preprocessing=embedder.preprocessing,
        run_id=run_id,
        dimension=embedder.dimension,
        bands=manifest.get("bands"),
        relevance=(trained.get("data") or {}).get("relevance"),
    )


def how(config: dict[str, Any]) -> How:
    """Batch and processes as data= has them; the rest are settings of their own."""
    data = config.get("data") or {}
    if config["shard"] < 1:
        raise LensError(f"shard={config['shard']}: give at least 1 image.")
    return How(data.get("batch_size", 32), data.get("workers"), config["shard"], config["progress"])


def tell_unreadable(folder: Path, changes: Changes) -> None:
    """How many images could not be read, the first by name, and where all are listed."""
    bad = changes.unreadable
    if bad:
        print(f"{len(bad)} images could not be read and are not in the index:")
        for path, reason in bad[:_SHOWN]:
            print(f"  {path}: {reason}")
        print(f"All of them: {unreadable_list(folder)}")
