"""A new index from any number of images; stopped at any moment, it goes on where it was."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from lens.bulk.embedding import Changes, Embeds, How, Waiting, embed
from lens.bulk.plan import DIGEST, STATE, Plan, check_there, plan
from lens.bulk.shards import Shards
from lens.bulk.source import read
from lens.data.catalogue import Catalogue
from lens.errors import LensError
from lens.files import write_whole
from lens.index import EngineSettings, save

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """What the vectors of a new index come from: model, preprocessing, bands and run as in its manifest.

    relevance: what the model was trained to bring together.
    """

    model: dict[str, Any]
    preprocessing: dict[str, Any]
    run_id: str
    dimension: int
    bands: dict[str, Any] | None = None
    relevance: str | None = None


def build_index(
    target: Path,
    source: Mapping[str, Any],
    made: Made,
    embedder: Embeds,
    how: How,
    engine: EngineSettings,
    tell: Tell = print,
) -> Changes:
    """Embed all images of a source into a new index.

    Until it is whole, what is done lies in the hidden folder `.NAME.building` beside it. Another call of the same run
    and source embeds only what is not there; one of another run, preprocessing or source begins anew.

    Raises:
        LensError: `target` exists, also where it came meanwhile, another process builds it, or none of the images can
            be read.
    """
    target = target.absolute()
    check_free(target)
    with alone(target):
        catalogue = read(source)
        shards, known = _begun(target, source, made, tell)
        todo = plan(catalogue, known)
        waiting = Waiting(catalogue, {}, shards.put, how.shard)
        changes = embed(todo, embedder, waiting, how, _stored(shards, catalogue, todo))
        waiting.flush()
        # Shards hold no descriptions: the catalogue's are taken at the end.
        changes.kept += len(todo.described) + changes.described
        changes.described = 0
        if changes.unreadable:
            check_there(catalogue)
        unreadable = {path for path, _ in changes.unreadable}
        if len(unreadable) == len(catalogue):
            raise LensError(
                f"None of the {len(catalogue)} images of {catalogue.name} could be read, e.g. "
                f"{': '.join(changes.unreadable[0])}."
            )
        list_unreadable(target, changes.unreadable)
        # After the list: once there is an index, no call goes on here.
        _finish(target, catalogue, shards, unreadable, source, made, engine)
        shards.remove()
    return changes


def _begun(target: Path, source: Mapping[str, Any], made: Made, tell: Tell) -> tuple[Shards, pd.DataFrame]:
    """The shards, and what they hold already."""
    about = {
        "run": made.run_id,
        "training": made.model.get("weights"),  # of the run, which may have gone on since
        "preprocessing": made.preprocessing,
        "data": dict(source),
    }
    shards = Shards(being_built(target), about, made.dimension)
    other = shards.begin()
    known = shards.known()
    if other:
        tell(f"What was begun for {target} is of another {' and '.join(other)}, so it is begun anew.")
    elif done := len(known):
        tell(f"Going on: {done} images for {target} are embedded already.")
    return shards, known


def _stored(shards: Shards, catalogue: Catalogue, todo: Plan) -> Callable[[Sequence[int]], np.ndarray] | None:
    """Vectors of the rows whose bytes may be those that a shard knows, though they are no files, or touched ones."""
    ids = catalogue.table["item_id"]
    held = pd.Index(ids.iloc[[look.row for look in todo.looks if look.known]])
    if held.empty:
        return None
    vectors = shards.gather(held)
    return lambda rows: np.asarray(vectors[held.get_indexer(ids.iloc[list(rows)])])


def _finish(
    target: Path,
    catalogue: Catalogue,
    shards: Shards,
    unreadable: set[str],
    source: Mapping[str, Any],
    made: Made,
    engine: EngineSettings,
) -> None:
    """The index of all rows that the shards hold, in the order of the catalogue."""
    known = shards.known().set_index("item_id")
    table = catalogue.table
    items = table[table["item_id"].isin(known.index) & ~table["path"].isin(unreadable)].reset_index(drop=True)
    items = items.assign(
        **{name: known[name].reindex(items["item_id"]).to_numpy() for name in (STATE, DIGEST)}
    )
    save(
        target,
        shards.gather(pd.Index(items["item_id"])),
        items,
        model=made.model,
        preprocessing=made.preprocessing,
        catalogue=about_catalogue(catalogue, source, made.relevance),
        run_id=made.run_id,
        bands=made.bands,
        engine=engine,
        only_new=True,  # hours have passed since its place was looked at
    )


def about_catalogue(catalogue: Catalogue, source: Mapping[str, Any], relevance: str | None) -> dict[str, Any]:
    """What a manifest says of where its items come from; `source` lets an update find them again."""
    return {
        "name": catalogue.name,
        "root": None if catalogue.root is None else str(catalogue.root.absolute()),
        "relevance": relevance,
        "source": dict(source),
    }


def check_free(target: Path) -> None:
    """Raises LensError where something lies at a new index's place."""
    if target.exists():
        raise LensError(
            f"{target} exists already: bring an index up to date by update={target}, or give out= another place."
        )


def being_built(target: Path) -> Path:
    """The folder of what is done until an index is whole; a kill just after that leaves it there."""
    return target.with_name(f".{target.name}.building")


def list_unreadable(folder: Path, unreadable: list[tuple[str, str]]) -> Path | None:
    """Write NAME-unreadable.csv beside an index, path and reason; remove an older one where all could be read.

    Raises LensError where that is impossible.
    """
    path = unreadable_list(folder)
    table = pd.DataFrame(unreadable, columns=["path", "reason"])
    try:
        if not unreadable:
            path.unlink(missing_ok=True)
            return None
        write_whole(path, lambda partial: table.to_csv(partial, index=False))
    except OSError as error:
        raise LensError(
            f"{path}, the list of the images that cannot be read, cannot be written: {error.strerror or error}; mend "
            "that and start the same command again, it goes on where it stopped."
        ) from error
    return path


def unreadable_list(folder: Path) -> Path:
    """Where the images are listed that an index of this folder leaves out."""
    return folder.with_name(f"{folder.name}-unreadable.csv")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time builds or updates an index. Raises LensError where another one does."""
    lock = FileLock(folder.with_name(f".{folder.name}.bulk.lock"), timeout=0)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        if not os.path.exists(lock.lock_file):  # a place like /proc gives no file, and no reason
            raise LensError(f"Nothing can be written beside {folder}.") from error
        raise LensError(
            f"Another process embeds into {folder}; wait until it is done, or stop it."
        ) from error
    except OSError as error:
        raise LensError(f"Nothing can be written beside {folder}: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()
