"""Models that are to be served: opened, looked for in the tracking store, and tried again where that failed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lens.errors import LensError
from lens.files import at_home
from lens.index import Reader, open_index
from lens.search import Embedder, Searcher
from lens.tracking import RunFacts, run_facts, trained_runs
from lens.trained import embedder_of, index_of

_WORTH = 100  # a look at all runs takes at most one part in so many of the time
_LATE = 60.0  # seconds that a run's end may reach the store after that of a later one


@dataclass(frozen=True)
class Served:
    """One model: its name here, its index and embedder, the run that trained it where the store knows it.

    model: its own name, which others may share.
    newest: whether the newest run of this model takes its place; guest: opened because a request named the run.
    given: its folder was named by a person, so it is the index whatever the run exports.
    """

    name: str
    searcher: Searcher
    run: RunFacts | None
    newest: bool
    guest: bool = False
    model: str = ""
    given: bool = False

    @property
    def reader(self) -> Reader:
        """Its index, as it is at one moment."""
        return self.searcher.reader


class Opener:
    """Opens models, not yet named.

    Args:
        uri: of the tracking store; prepared: makes an embedder ready for serving.
    """

    def __init__(self, uri: str, prepared: Callable[[Embedder], Embedder]) -> None:
        self._uri, self._prepared = uri, prepared

    def run(self, run: RunFacts) -> Served:
        """A run's best checkpoint with the index that it exported. Raises LensError."""
        reader = open_index(index_of(self._uri, run.run_id))
        embedder = self._prepared(embedder_of(self._uri, run.run_id))
        return Served("", Searcher(embedder, reader), run, False, model=run.tags.get("model") or run.name)

    def index(self, folder: str | Path) -> Served:
        """An index folder, with the model of the run that it names, if it names one. Raises LensError."""
        reader = open_index(at_home(folder))
        run_id, model = reader.manifest.get("run_id"), reader.manifest["model"]["name"]
        if run_id is None:
            return Served("", Searcher(None, reader), None, False, model=model, given=True)
        try:
            run = run_facts(self._uri, run_id)
            embedder = self._prepared(embedder_of(self._uri, run_id))
        except LensError as error:
            raise LensError(f"index={folder}: its model cannot be loaded: {error}") from error
        return Served("", Searcher(embedder, reader), run, False, model=model, given=True)

    def again(self, served: Served) -> Served:
        """The same with the weights and the index of now, under its old name where it is the same model.

        Raises LensError, also where its run goes on or was stopped: then the index may be newer than the checkpoint,
        which a run hands over at its end.
        """
        if served.run is None or served.given:
            opened = self.index(served.reader.folder)
            _check_finished(opened.run)
        else:
            run = run_facts(self._uri, served.run.run_id)
            _check_finished(run)
            opened = self.run(run)
        name = served.name if opened.model == served.model else ""
        return replace(opened, name=name, newest=served.newest, guest=served.guest)


def _check_finished(run: RunFacts | None) -> None:
    if run is not None and run.status != "FINISHED":
        raise LensError(
            f"its index was written anew, but run {run.run_id} is {run.status}; "
            "it is taken up when the run has finished."
        )


class Runs:
    """The runs of an experiment that train a model or did, without reading all of them again each time.

    A look asks for what ended since the last one. All are read at first and then seldom: a run may be deleted, and its
    end may be told late.

    Args:
        uri, experiment: of the tracking store; all_every: seconds between looks at all runs, at least.
    """

    def __init__(self, uri: str, experiment: str, all_every: float = 300.0) -> None:
        self._uri, self._experiment, self._all_every = uri, experiment, all_every
        self._known: dict[str, RunFacts] = {}
        self._all_at = self._moved_at = time.monotonic()
        self._latest = 0

    def look(self) -> list[RunFacts]:
        """Those of now, newest first, without their metrics and settings. Raises LensError, as `trained_runs`."""
        start = time.monotonic()
        if start >= self._all_at:
            self._known = _light(trained_runs(self._uri, self._experiment))
            seconds = time.monotonic() - start
            self._all_at = start + max(self._all_every, _WORTH * seconds)
        else:
            late = _LATE if start < self._moved_at + _LATE else 0.0
            since = self._latest - int(1000 * late)
            self._known |= _light(trained_runs(self._uri, self._experiment, since))
        latest = max((run.ended for run in self._known.values()), default=0)
        if latest != self._latest:
            self._latest, self._moved_at = latest, start
        return sorted(self._known.values(), key=lambda run: run.started, reverse=True)


class Faults:
    """What went wrong, by what it went wrong with: told once, and tried again ever more seldom.

    Args:
        tell: is given each new sentence; first, longest: seconds to wait after the first fault, and at most; each fault
            doubles the wait.
    """

    def __init__(self, tell: Callable[[str], None], first: float, longest: float) -> None:
        self._tell, self._first, self._longest = tell, first, longest
        self._told: dict[str, str] = {}
        self._waits: dict[str, tuple[float, float]] = {}  # until when, and how long that was

    def waits(self, what: str) -> bool:
        """Whether it is too soon to try this again."""
        return what in self._waits and time.monotonic() < self._waits[what][0]

    def tell(self, what: str, sentence: str) -> None:
        """Say it, unless it was the last that was said of this."""
        if self._told.get(what) != sentence:
            self._told[what] = sentence
            self._tell(sentence)

    def failed(self, what: str, sentence: str) -> None:
        """Say it, and wait with the next try."""
        self.tell(what, sentence)
        seconds = min(self._longest, 2 * self._waits[what][1]) if what in self._waits else self._first
        self._waits[what] = (time.monotonic() + seconds, seconds)

    def mended(self, what: str) -> None:
        """It went well, or is another thing now."""
        self._told.pop(what, None)
        self._waits.pop(what, None)


def _light(runs: list[RunFacts]) -> dict[str, RunFacts]:
    return {run.run_id: replace(run, metrics={}, params={}) for run in runs}
