"""What a run left behind, ready to be used: its model, its embedder, its index."""

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lens.config import build
from lens.errors import LensError
from lens.models.hybrid import Hybrid, Member
from lens.models.shares import Metric
from lens.search.embedder import Embedder
from lens.tracking import download, find_run, project_folder, run_config, run_tags, tracking_uri
from lens.tracking.store import DEFAULT_EXPERIMENT

INDEX_CACHE = Path("~/.cache/shopping-lens/indices")


def load_model(uri: str, run_id: str, config: dict[str, Any]) -> Any:
    """The run's model with its best checkpoint, in evaluation mode; nothing is downloaded from a hub.

    Raises:
        LensError: the run kept no checkpoint, or one of another version of the model.
    """
    model = build({**config["model"], "weights": "random"})
    with tempfile.TemporaryDirectory() as folder:
        path: Path = download(uri, run_id, "checkpoints/best.ckpt", folder)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    model.on_load_checkpoint(checkpoint)  # CLIP's vocabulary
    try:
        model.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise LensError(
            f"The checkpoint of run {run_id} does not fit the model as this version of the program builds it."
        ) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return model.eval().to(device)


def embedder_of(uri: str, run_id: str) -> Embedder:
    """The embedder of a run: its best checkpoint, pictures of its size, its precision. Raises as `load_model`."""
    from lens.report import quiet_libraries

    quiet_libraries()
    config = run_config(uri, run_id)
    return as_embedder(load_model(uri, run_id, config), config, run_id)


def as_embedder(model: Any, config: dict[str, Any], run_id: str) -> Embedder:
    """A loaded model as its run's configuration has it used."""
    from lens.training import autocast

    precision = partial(autocast, config["trainer"].get("precision", "auto"), model.device)
    name = config.get("model_name") or type(model).__name__
    return Embedder(model, config["data"]["image_size"], name=name, run_id=run_id, precision=precision)


def index_of(uri: str, run_id: str) -> Path:
    """The folder of the index that a run exported: beside train.py, or fetched once from the tracking store.

    Raises LensError where the run exported none, as a comparison does, or the parent of a sweep.
    """
    own = project_folder() / "runs" / run_id / "index"
    if (own / "manifest.json").is_file():
        return own
    kept = INDEX_CACHE.expanduser() / run_id
    if not (kept / "manifest.json").is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            try:
                os.replace(download(uri, run_id, "index", folder), kept)
            except LensError as error:
                if "model" in run_tags(uri, run_id):
                    raise
                raise LensError(
                    f"Run {run_id} trained no model, so it has no index; give one that did."
                ) from error
    return kept


def hybrid(
    runs: list[str],
    normalise: bool = True,
    metric: Metric = "precision_at_1",
    experiment: str = DEFAULT_EXPERIMENT,
    uri: str | None = None,
    weights: str = "members",
) -> Hybrid:
    """The trained models of several runs as one, its weights still to be chosen by a training.

    Args:
        runs: by id, start of an id, or name.
        weights: ``random`` leaves the members to a checkpoint.

    Raises:
        LensError: fewer than two runs, one that is a hybrid itself or has no checkpoint, or runs on different data.
    """
    if weights == "random":
        return Hybrid([], build, normalise=normalise, metric=metric)
    store = tracking_uri(uri)
    ids = list(dict.fromkeys(find_run(store, experiment, word) for word in runs))
    if len(ids) < 2:
        raise LensError(f"model.runs={runs}: a hybrid needs two runs or more, such as model.runs=[ID,ID].")
    members, fingerprints = [], {}
    for run_id in ids:
        config = run_config(store, run_id)
        if config["model"]["_target_"] == f"{hybrid.__module__}.{hybrid.__name__}":
            raise LensError(
                f"model.runs: run {run_id} is a hybrid itself; give the runs that it was made of."
            )
        model, name = load_model(store, run_id, config).cpu(), config.get("model_name") or "model"
        members.append(Member(model, name, run_id, config["data"]["image_size"], config["model"]))
        fingerprints[run_id] = run_tags(store, run_id).get("data.fingerprint", "")
    if len(set(fingerprints.values())) > 1:
        said = ", ".join(f"{run_id[:8]}: {mark[:8] or 'unknown'}" for run_id, mark in fingerprints.items())
        raise LensError(
            f"model.runs: the runs were trained on different data or splits ({said}), so one would be tested "
            "on what another learned; train them on the same."
        )
    return Hybrid(
        members, build, fingerprint=next(iter(fingerprints.values())), normalise=normalise, metric=metric
    )
