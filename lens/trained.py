"""What a run left behind, ready to be used: its model, its embedder, its index."""

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lens.config import build
from lens.errors import LensError
from lens.index.manifest import MANIFEST, base_id, check_sizes, check_sums, read_manifest
from lens.models.hybrid import Hybrid, Member
from lens.models.shares import Metric
from lens.search.embedder import Embedder
from lens.tracking import download, find_run, project_folder, run_config, run_tags, tracking_uri
from lens.tracking.store import DEFAULT_EXPERIMENT

INDEX_CACHE = Path("~/.cache/shopping-lens/indices")
BEST = "checkpoints/best.ckpt"


def load_model(uri: str, run_id: str, config: dict[str, Any]) -> Any:
    """The run's model with its best checkpoint, in evaluation mode; nothing is downloaded from a hub.

    Raises:
        LensError: the run kept no checkpoint, a broken one, or one of another version of the model.
    """
    model = build({**config["model"], "weights": "random"})
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = _read_checkpoint(download(uri, run_id, BEST, folder), run_id)
    try:
        model.on_load_checkpoint(checkpoint)  # CLIP's vocabulary
        model.load_state_dict(checkpoint["state_dict"])
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise LensError(
            f"The checkpoint of run {run_id} does not fit the model as this version of the program builds it."
        ) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return model.eval().to(device)


def _read_checkpoint(path: Path, run_id: str) -> dict[str, Any]:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(checkpoint, dict) and "state_dict" in checkpoint:
            return checkpoint
        reason: Exception = TypeError("no state_dict")
    except Exception as error:  # noqa: BLE001 - broken files were seen to make torch raise eight kinds
        reason = error
    # torch's own words fill a screen, and advise to trust the file.
    raise LensError(
        f"The checkpoint {BEST} of run {run_id} cannot be read ({type(reason).__name__}), it is broken or cut off; "
        "put a whole copy of it into the run's artefacts, or train again."
    ) from reason


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

    A run that was resumed exported another index: that one is fetched to a folder of its own, and the older stays for
    who has it open.
    Raises LensError where the run exported none, as a comparison does, or the parent of a sweep.
    """
    own = project_folder() / "runs" / run_id / "index"
    if (own / MANIFEST).is_file():
        return own
    cache = INDEX_CACHE.expanduser()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            there = read_manifest(_artefact(uri, run_id, f"index/{MANIFEST}", f"{folder}/there").parent)[0]
            # What `python -m lens.index` changes in a fetched index has an id of its own, but the folder's name stays.
            kept = cache / f"{run_id}-{base_id(there)[-12:]}"
            older = cache / run_id
            if _is_of(older, there):
                return older
            if (kept / MANIFEST).is_file():
                return kept
            return _kept(_artefact(uri, run_id, "index", folder), there, kept)
    except OSError as error:
        raise LensError(
            f"The index of run {run_id} cannot be kept in {cache}: {error.strerror or error}."
        ) from error


def _artefact(uri: str, run_id: str, path: str, into: str) -> Path:
    try:
        return download(uri, run_id, path, into)
    except LensError as error:
        if "model" in run_tags(uri, run_id):
            raise
        raise LensError(f"Run {run_id} trained no model, so it has no index; give one that did.") from error


def _is_of(folder: Path, there: dict[str, Any]) -> bool:
    return (folder / MANIFEST).is_file() and base_id(read_manifest(folder)[0]) == base_id(there)


def _kept(fetched: Path, there: dict[str, Any], kept: Path) -> Path:
    """Put what was fetched in its place, unless another process just did. Raises LensError where it is not whole."""
    found, _ = read_manifest(fetched)
    check_sizes(fetched, found)
    check_sums(fetched, found)  # files of two exports may be of one size
    if base_id(found) != base_id(there):
        raise LensError(f"The index of {kept.name[:32]} changed while it was fetched; try again.")
    try:
        os.replace(fetched, kept)
    except OSError:
        if not (kept / MANIFEST).is_file():
            raise
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
