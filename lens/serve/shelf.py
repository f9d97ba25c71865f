"""The models that are served, each with its index; renewed while requests go on."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lens.errors import LensError
from lens.index import Reader, open_index
from lens.search import Embedder, Searcher
from lens.tracking import RunFacts, find_run, finished_runs, several_runs, tracking_uri
from lens.trained import embedder_of, index_of

_MOST_GUESTS = 8  # indices that were opened because a link asked for them
log = logging.getLogger("lens.serve")


@dataclass(frozen=True)
class Served:
    """One model: its name here, its index and embedder, the run that trained it where the store knows it.

    newest: whether the newest run of this model takes its place; guest: opened because a request named the run.
    """

    name: str
    searcher: Searcher
    run: RunFacts | None
    newest: bool
    guest: bool = False

    @property
    def reader(self) -> Reader:
        """Its index, as it is at one moment."""
        return self.searcher.reader


class Shelf:
    """Which models are served. What `models` gave is valid for as long as it is held: nothing is closed under it.

    Args:
        runs, indices: what to serve; neither: the newest run of each model that has an index.
        uri, experiment: of the tracking store.
        prepared: makes an embedder ready for serving.

    Raises LensError where one of these cannot be opened, or there is nothing to serve.
    """

    def __init__(
        self,
        runs: Sequence[str],
        indices: Sequence[str],
        uri: str | None,
        experiment: str,
        prepared: Callable[[Embedder], Embedder],
    ) -> None:
        self._uri, self._experiment, self._prepared = tracking_uri(uri), experiment, prepared
        self._follows = not runs and not indices
        self._lock = threading.Lock()  # of those who write; readers take the mapping as it is
        self._refused: set[str] = set()
        found = self._newest() if self._follows else []
        for word in runs:
            found.append(self._of_run(several_runs(self._uri, experiment, [word])[0], newest=False))
        found += [self._of_index(folder) for folder in indices]
        if not found:
            raise LensError(
                f"No run of the experiment {experiment!r} has an index to serve; make one with make quickstart, or "
                "python train.py model=resnet_tiny."
            )
        self._models: Mapping[str, Served] = _by_name(found)

    @property
    def models(self) -> Mapping[str, Served]:
        """By name; those that were chosen first, then guests."""
        return self._models

    def open_run(self, word: str) -> Served:
        """The model of a run, by its id, the start of one, or its name; opened if it is not yet there.

        Raises LensError where there is no such run, or it exported no index.
        """
        run_id = find_run(self._uri, self._experiment, word)
        with self._lock:
            for served in self._models.values():
                if served.searcher.run_id == run_id:
                    return served
            run = several_runs(self._uri, self._experiment, [run_id])[0]
            guest = replace(self._of_run(run, newest=False), guest=True)
            kept = list(self._models.values())
            guests = [one for one in kept if one.guest]
            if len(guests) >= _MOST_GUESTS:
                kept.remove(guests[0])
            self._models = _by_name([*kept, guest])
            return next(one for one in self._models.values() if one.searcher is guest.searcher)

    def refresh(self) -> bool:
        """Take up what is new: changes of an index, and newer runs. Says whether anything was.

        What cannot be opened is told once, and the index that was served stays.
        """
        with self._lock:
            before = list(self._models.values())
            after = [self._refreshed(one) for one in before]
            if self._follows:
                try:
                    newer = {one.name: one for one in self._newest(before)}
                    after = [newer.pop(one.name, one) if one.newest else one for one in after]
                    after += newer.values()
                except LensError as error:
                    self._tell(str(error))
            changed = [one.searcher for one in after] != [one.searcher for one in before]
            if changed:
                self._models = _by_name(after)
            return changed

    def _refreshed(self, served: Served) -> Served:
        try:
            reader = served.reader.refreshed()
            if reader is served.reader:
                return served
            return replace(served, searcher=Searcher(served.searcher.embedder, reader))
        except LensError as error:
            self._tell(f"{served.name} is served as it was: {error}")
            return served

    def _newest(self, known: Sequence[Served] = ()) -> list[Served]:
        """The newest run of each model that can be opened; of those known, only what is newer than they."""
        there = {one.searcher.run_id for one in known if one.newest}
        found: dict[str, Served | None] = {}
        for run in finished_runs(self._uri, self._experiment):
            name = run.tags["model"]
            if name in found or run.run_id in self._refused:
                continue
            if run.run_id in there:
                found[name] = None
                continue
            try:
                found[name] = self._of_run(run, newest=True)
            except LensError as error:
                self._refused.add(run.run_id)
                self._tell(str(error))
        return [one for one in found.values() if one is not None]

    def _of_run(self, run: RunFacts, newest: bool) -> Served:
        reader = open_index(index_of(self._uri, run.run_id))
        embedder = self._prepared(embedder_of(self._uri, run.run_id))
        return Served(run.tags.get("model") or run.name, Searcher(embedder, reader), run, newest)

    def _of_index(self, folder: str) -> Served:
        reader = open_index(Path(folder).expanduser())
        run_id = reader.manifest.get("run_id")
        if run_id is None:
            return Served(reader.manifest["model"]["name"], Searcher(None, reader), None, False)
        try:
            run = several_runs(self._uri, self._experiment, [run_id])[0]
            embedder = self._prepared(embedder_of(self._uri, run_id))
        except LensError as error:
            raise LensError(f"index={folder}: its model cannot be loaded: {error}") from error
        return Served(reader.manifest["model"]["name"], Searcher(embedder, reader), run, False)

    def _tell(self, sentence: str) -> None:
        if sentence not in self._refused:
            self._refused.add(sentence)
            log.warning(sentence)


def _by_name(found: Sequence[Served]) -> dict[str, Served]:
    """Each under its own name; where two share one, the later has the name of its run, or the run's id, behind it."""
    result: dict[str, Served] = {}
    for one in found:
        run_name = one.run.name if one.run else ""
        short = (one.searcher.run_id or one.reader.folder.name)[:8]
        names = [one.name, f"{one.name}@{run_name if run_name != one.name else short}", f"{one.name}@{short}"]
        names += [f"{one.name}@{short}-{number}" for number in range(2, len(found) + 2)]
        name = next(name for name in names if name not in result and not name.endswith("@"))
        result[name] = replace(one, name=name)
    return result
