"""Where runs are kept: the address of the store and its first creation."""

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lens.errors import LensError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DEFAULT_EXPERIMENT = "shopping-lens"
PARENT_TAG = "mlflow.parentRunId"
# Set before mlflow is imported: a server that is away must not hold up a training for mlflow's four minutes of
# retries, and nobody's use of this program is reported anywhere.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
_SCHEMES = ("sqlite://", "postgresql", "mysql", "mssql", "http://", "https://", "databricks")


def project_folder() -> Path:
    """The folder that holds train.py."""
    return Path(__file__).resolve().parents[2]


def tracking_uri(uri: str | None = None) -> str:
    """The given address, else MLFLOW_TRACKING_URI, else `mlflow.db` beside train.py.

    A relative SQLite path is made absolute, so that a later change of the working folder cannot move it.
    Raises LensError for an address that MLflow no longer writes to (a plain folder).
    """
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_folder() / 'mlflow.db'}"
    if not chosen.startswith(_SCHEMES):
        raise LensError(
            f"The tracking store {shown(chosen)!r} is not a database or a server; write it as sqlite:///FILE.db or http://HOST:PORT."
        )
    if chosen.startswith("sqlite://") and database_file(chosen) is None:
        raise LensError(
            f"The tracking store {shown(chosen)!r} names no file, and would be gone at the end; use sqlite:///FILE.db."
        )
    path = database_file(chosen)
    return f"sqlite:///{path}" if path is not None else chosen


def database_file(uri: str) -> Path | None:
    """The file behind a SQLite address, absolute; None for a server or for a database in memory."""
    if not uri.startswith("sqlite:///"):
        return None
    name = unquote(uri.removeprefix("sqlite:///").partition("?")[0])
    return None if name in ("", ":memory:") else Path(name).absolute()


def shown(text: str) -> str:
    """An address (or any text that holds some) without the passwords in it."""
    return re.sub(r"(://[^:/@\s]+):[^@/\s]+@", r"\1:***@", text)


def client(uri: str) -> "MlflowClient":
    """MLflow's client for one store, whatever else is set in this process."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what mlflow and alembic print: what matters is said by the caller in one sentence."""
    import mlflow  # noqa: F401 - sets its logging up on import, which would undo what follows

    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def probe(uri: str, wait: float = 1.0) -> None:
    """Raise OSError or sqlite3.Error where a SQLite store cannot be written at this moment.

    mlflow would wait 20 s for a locked file, and would put an empty file where a moved one was.
    """
    path = database_file(uri)
    if path is None:
        return
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there")
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=wait)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()


def prepare_store(uri: str, experiment: str = DEFAULT_EXPERIMENT) -> str:
    """Create the database (about ten seconds, once) and the experiment where they are missing.

    A lock file beside a SQLite database lets several processes start on a fresh one at once.
    Returns the experiment's id. Raises LensError where the store cannot be reached or the experiment was deleted.
    """
    from filelock import FileLock

    path = database_file(uri)
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size > 0:
                probe(uri, wait=20)
        with FileLock(f"{path}.lock") if path is not None else nullcontext(), quiet():
            return _experiment_id(client(uri), experiment, path)
    except LensError:
        raise
    except Exception as error:
        raise LensError(f"The tracking store {shown(uri)} cannot be used: {first_line(error)}") from error


def _experiment_id(mlflow: "MlflowClient", experiment: str, path: Path | None) -> str:
    found = mlflow.get_experiment_by_name(experiment)
    if found is None:
        # By default artefacts go to the working directory of whoever comes first.
        location = (path.parent / "mlartifacts").as_uri() if path is not None else None
        try:
            from lens.tracking.view import offer_view

            created = str(mlflow.create_experiment(experiment, artifact_location=location))
            offer_view(mlflow, created)
            return created
        except Exception:  # another machine was quicker
            found = mlflow.get_experiment_by_name(experiment)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise LensError(
            f"The experiment {experiment!r} was deleted; restore it (mlflow experiments restore) or use another name."
        )
    return str(found.experiment_id)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type where it has none."""
    return shown((str(error).strip().splitlines() or [type(error).__name__])[0])
