"""Embedders as MLflow's models: logged with their run, and registered under a name."""

import importlib.metadata
import json
import os
import re
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lens
from lens.errors import LensError
from lens.tracking.served import OPENER
from lens.tracking.store import client, first_line, probe, quiet, shown

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

EMBEDDER = "embedder"
"""Name of the model in its run: runs:/RUN_ID/embedder."""
DATA = f"data/{EMBEDDER}"  # where mlflow puts the folder of what is loaded
REQUIREMENTS = (
    "filelock", "hydra-core", "mlflow", "numpy", "pandas", "pillow", "pyarrow", "pydantic", "pytorch-lightning",
    "pyyaml", "tokenizers", "torch", "torchvision", "transformers",
)  # fmt: skip


@dataclass(frozen=True)
class Portable:
    """An embedder ready to be logged.

    folder: what describes it, some small files; weights: its large file, which goes beside them as ``weights_name``.
    opener: dotted path of the function that turns the folder into an embedder, see `Served`.
    dimension: of its vectors; takes_texts: whether it embeds texts; example: the bytes of an image file.
    """

    folder: Path
    weights: Path
    weights_name: str
    opener: str
    dimension: int
    takes_texts: bool
    example: bytes


def log_embedder(uri: str, run_id: str, portable: Portable) -> str:
    """Log an embedder as the model ``embedder`` of a run; returns the model's id.

    Both ``runs:/RUN_ID/embedder`` and ``models:/MODEL_ID`` load it with `mlflow.pyfunc`, in any folder: the code of
    this package goes with it. Nothing global of mlflow is read or changed. A later one of the same run comes first.
    Where the store's files are on this machine, the weights are a hard link: checkpoints are never changed in place.

    Raises:
        LensError: the store refuses.
    """
    mlflow, model_id = client(uri), None
    try:
        with quiet(), tempfile.TemporaryDirectory() as place:
            from mlflow.entities import LoggedModelOutput

            run = mlflow.get_run(run_id)
            made = mlflow.create_logged_model(
                run.info.experiment_id, EMBEDDER, run_id, params=dict(run.data.params), model_type="embedder"
            )
            model_id = str(made.model_id)
            _save(Path(place) / "model", portable, run_id, made)
            mlflow.log_model_artifacts(model_id, str(Path(place) / "model"))
            _put_weights(mlflow, made, portable)
            mlflow.finalize_logged_model(model_id, "READY")
            mlflow.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    except Exception as error:
        _forget(uri, model_id)
        raise LensError(f"The embedder of run {run_id} could not be logged: {first_line(error)}") from error
    return model_id


def _save(path: Path, portable: Portable, run_id: str, made: Any) -> None:
    """MLflow's model folder, without the weights."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data, code = Path(place) / EMBEDDER, Path(place) / "lens"
        shutil.copytree(portable.folder, data)
        (data / OPENER).write_text(json.dumps({"opener": portable.opener}), encoding="utf-8")
        shutil.copytree(Path(lens.__file__).parent, code, ignore=shutil.ignore_patterns("__pycache__"))
        about = Model(
            artifact_path=made.artifact_location,
            run_id=run_id,
            model_uuid=made.model_id,
            model_id=made.model_id,
        )
        mlflow.pyfunc.save_model(
            path,
            loader_module="lens.tracking.served",
            data_path=str(data),
            code_paths=[str(code)],
            mlflow_model=about,
            signature=_signature(portable),
            input_example=pd.DataFrame({"image": [portable.example]}),
            pip_requirements=_pinned(),
        )
        about.model_size_bytes = (about.model_size_bytes or 0) + portable.weights.stat().st_size
        about.save(path / "MLmodel")


def _signature(portable: Portable) -> "ModelSignature":
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    columns = [ColSpec(DataType.binary, "image", required=not portable.takes_texts)]
    if portable.takes_texts:
        columns.append(ColSpec(DataType.string, "text", required=False))
    vectors = TensorSpec(np.dtype(np.float32), (-1, portable.dimension))
    return ModelSignature(Schema(columns), Schema([vectors]))  # type: ignore[arg-type]


def _pinned() -> list[str]:
    """What a server of the model installs; without the local part that a build for one kind of processor has."""
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS]


def _put_weights(mlflow: Any, made: Any, portable: Portable) -> None:
    from mlflow.utils.file_utils import local_file_uri_to_path

    if str(made.artifact_location).startswith(("file:", "/")):
        target = Path(local_file_uri_to_path(made.artifact_location)) / DATA / portable.weights_name
        try:
            os.link(portable.weights, target)
            return
        except OSError:  # another disk, or one that has no links
            pass
    with tempfile.TemporaryDirectory() as place:
        named = Path(place) / portable.weights_name
        named.symlink_to(portable.weights.resolve())
        mlflow.log_model_artifact(made.model_id, str(named), DATA)


def _forget(uri: str, model_id: str | None) -> None:
    """Nothing half-logged is left to be found."""
    if model_id is None:
        return
    try:
        with quiet():
            client(uri).delete_logged_model(model_id)
    except Exception:  # noqa: BLE001 - the first error is the one to tell
        pass


def register(uri: str, run_id: str, name: str, alias: str | None = None) -> int:
    """Register a run's embedder under a name, once, and point the alias to it; returns the version's number.

    Raises:
        LensError: the run logged no embedder, the name cannot be, or the registry refuses.
    """
    from mlflow.exceptions import MlflowException

    mlflow = client(uri)
    try:
        with quiet():
            experiment = mlflow.get_run(run_id).info.experiment_id
            wanted = f"name = '{EMBEDDER}' AND source_run_id = '{run_id}'"
            models = [
                m for m in mlflow.search_logged_models([experiment], wanted) if m.source_run_id == run_id
            ]
            if not models:
                raise LensError(
                    f"Run {run_id} logged no embedder (logger.embedder=false, or an older version trained it)."
                )
            try:
                mlflow.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            newest = models[0]
            # A database resolves models:/ID in mlflow's global store, which may be another; a server in its own.
            server = uri.startswith("http")
            source = f"models:/{newest.model_id}" if server else newest.artifact_location
            versions = mlflow.search_model_versions(f"name = '{name}'")
            version = next((v.version for v in versions if v.source == source), None)
            if version is None:
                made = mlflow.create_model_version(name, source, run_id, model_id=newest.model_id)
                version = made.version
            if alias:
                mlflow.set_registered_model_alias(name, alias, version)
    except LensError:
        raise
    except Exception as error:
        raise LensError(f"{name!r} could not be registered in {shown(uri)}: {first_line(error)}") from error
    return int(version)


def read_registration(text: str) -> tuple[str, str | None]:
    """``NAME`` or ``NAME@ALIAS`` as a pair. Raises LensError for what MLflow takes neither for."""
    name, at, alias = text.partition("@")
    # MLflow takes quotes in a name, but not in the search for its versions.
    if not re.fullmatch(r"[^/:@'\"`]+", name) or not name.strip() or (at and not _is_alias(alias)):
        raise LensError(
            f"{text!r} registers nothing: give NAME or NAME@ALIAS; a name is without / : and quotes, an alias of "
            "letters, digits, _ and - (but not v1, v2, ... or latest, which MLflow keeps to itself)."
        )
    return name, alias or None


def _is_alias(text: str) -> bool:
    return bool(re.fullmatch(r"[\w-]+", text)) and not re.fullmatch(r"(?i)v\d+|latest", text)


def registered_run(uri: str, address: str) -> str:
    """The run of ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``. Raises LensError where there is none."""
    found = re.fullmatch(r"models:/([^/:@]+)(?:@([\w-]+)|/(\d+))", address)
    if not found:
        raise LensError(
            f"{address} is no registered model: write models:/NAME@ALIAS or models:/NAME/VERSION."
        )
    name, alias, version = found.groups()
    try:
        probe(uri, wait=20)  # mlflow would make an empty store where there is none
        mlflow = client(uri)
        with quiet():
            entry = (
                mlflow.get_model_version_by_alias(name, alias)
                if alias
                else mlflow.get_model_version(name, version)
            )
    except Exception as error:
        raise LensError(f"{address} is not in {shown(uri)}: {first_line(error)}") from error
    if not entry.run_id:
        raise LensError(f"{address} belongs to no run.")
    return str(entry.run_id)
