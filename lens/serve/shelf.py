"""The models that are served, each with its index; renewed while requests go on."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from lens.errors import LensError
from lens.search import Embedder, Searcher
from lens.serve.naming import named
from lens.serve.opening import Faults, Opener, Runs, Served
from lens.serve.problems import Overloaded
from lens.tracking import RunFacts, find_run, run_facts, tracking_uri
from lens.tracking.store import first_line

__all__ = ["Served", "Shelf"]
_MOST_GUESTS = 8  # indices that were opened because a link asked for them
_STORE = "store"
log = logging.getLogger("lens.serve")


class Shelf:
    """Which models are served. What `models` gave is valid for as long as it is held: nothing is closed under it.

    Args:
        runs, indices: what to serve; neither: the newest run of each model that can be opened.
        uri, experiment: of the tracking store.
        prepared: makes an embedder ready for serving.
        pause: seconds until a run that could not be opened is tried again: after the first time, and at most.
        seconds: that a request for a run waits while another one is being opened.
        strict: whether one of `runs` or `indices` that cannot be opened is a mistake; if not, it is told and left out.

    Raises LensError where strict and one of these cannot be opened, and where there is nothing to serve.
    """

    def __init__(
        self,
        runs: Sequence[str],
        indices: Sequence[str],
        uri: str | None,
        experiment: str,
        prepared: Callable[[Embedder], Embedder],
        pause: tuple[float, float] = (10.0, 600.0),
        seconds: float = 20.0,
        strict: bool = True,
    ) -> None:
        self._uri, self._experiment = tracking_uri(uri), experiment
        self._opener, self._runs = Opener(self._uri, prepared), Runs(self._uri, experiment)
        self._faults = Faults(log.warning, *pause)
        self._follows = not runs and not indices
        self._seconds = seconds
        self._lock = threading.Lock()  # of those who write; readers take the mapping as it is
        found = list(self._newest(self._runs.look(), []).values()) if self._follows else []
        opening = [partial(self._named_run, word) for word in runs]
        for open_one in [*opening, *(partial(self._opener.index, folder) for folder in indices)]:
            try:
                one = open_one()
            except LensError as error:
                if strict:
                    raise
                log.warning("It is left out until the service starts again: %s", error)
                continue
            if one.run is None or one.given or one.run.run_id not in {run.searcher.run_id for run in found}:
                found.append(one)
        if not found:
            raise LensError(
                f"No run of the experiment {experiment!r} has an index to serve; make one with make quickstart, or "
                "python train.py model=resnet_tiny."
            )
        self._models: Mapping[str, Served] = named(found)

    def _named_run(self, word: str) -> Served:
        return self._opener.run(run_facts(self._uri, find_run(self._uri, self._experiment, word)))

    @property
    def models(self) -> Mapping[str, Served]:
        """By name; those that were chosen first, then guests."""
        return self._models

    def open_run(self, word: str) -> Served:
        """The model of a run, by its id, the start of one, or its name; opened if it is not yet there.

        Raises LensError where there is no such run, or it exported no index; Overloaded where others are opened
        meanwhile and that takes too long.
        """
        there = self._of(word)  # asking the store would cost as much as a search
        if there is not None:
            return there
        if not self._lock.acquire(timeout=self._seconds):
            raise Overloaded("Other models are being opened; try again in a moment.")
        try:
            run_id = find_run(self._uri, self._experiment, word)
            there = self._of(run_id)
            if there is not None:
                return there
            guest = replace(self._opener.run(run_facts(self._uri, run_id)), guest=True)
            kept = list(self._models.values())
            guests = [one for one in kept if one.guest]
            if len(guests) >= _MOST_GUESTS:
                kept.remove(guests[0])
            self._models = named([*kept, guest])
            return next(one for one in self._models.values() if one.searcher is guest.searcher)
        finally:
            self._lock.release()

    def _of(self, run_id: str) -> Served | None:
        return next((one for one in self._models.values() if one.searcher.run_id == run_id), None)

    def refresh(self) -> bool:
        """Take up what is new: changes of an index, resumed runs, and newer ones. Says whether anything was.

        What cannot be opened is told once and tried again later; what was served stays.
        """
        with self._lock:
            before = list(self._models.values())
            runs = self._look(before)
            known = {run.run_id: run for run in runs}
            after = [self._refreshed(one, known.get(one.searcher.run_id or "")) for one in before]
            if self._follows:
                after = self._followed(after, runs)
            self._models = named(after)
            return [_kind(one) for one in self._models.values()] != [_kind(one) for one in before]

    def _look(self, served: Sequence[Served]) -> list[RunFacts]:
        if not self._follows and all(one.run is None for one in served):
            return []  # there may be no store
        try:
            runs = self._runs.look()
        except LensError as error:
            self._faults.tell(_STORE, str(error))
            return []
        self._faults.mended(_STORE)
        return runs

    def _refreshed(self, served: Served, run: RunFacts | None) -> Served:
        """With the index of now; also with the weights of now where the index was written anew or the run resumed."""
        told, resumed = f"{served.name} is served as it was", False
        if run is not None and served.run is not None and run.ended != served.run.ended:
            resumed = run.status == "FINISHED" and "resumed" in run.tags
            served = served if resumed else replace(served, run=run)
        facts = run or served.run
        what = f"{served.reader.folder} {facts.ended if facts else 0}"  # another end of the run, another try
        if self._faults.waits(what):
            return served
        try:
            reader = served.reader.refreshed()
        except LensError as error:
            self._faults.tell(what, f"{told}: {error}")
            return served
        if resumed or reader.seal != served.reader.seal:
            return self._tried(what, told, partial(self._opener.again, served)) or served
        self._faults.mended(what)
        if reader is served.reader:
            return served
        return replace(served, searcher=Searcher(served.searcher.embedder, reader))

    def _followed(self, served: Sequence[Served], runs: Sequence[RunFacts]) -> list[Served]:
        """With the newest run of each model in its place, a guest where it became that."""
        newest = self._newest(runs, served)
        taken = {one.searcher.run_id for one in newest.values()}
        after = [
            newest.pop(one.model, one) if one.newest else one
            for one in served
            if not (one.guest and one.searcher.run_id in taken)
        ]
        return after + list(newest.values())

    def _newest(self, runs: Sequence[RunFacts], served: Sequence[Served]) -> dict[str, Served]:
        """By model the newest run that is finished and can be opened; what is served already is not opened again.

        The newest run may be in training again: it goes on being served.
        """
        there = {one.searcher.run_id: one for one in served}
        found: dict[str, Served] = {}
        for run in runs:
            model, one = run.tags["model"], there.get(run.run_id)
            if model in found or not (run.status == "FINISHED" or (one is not None and one.newest)):
                continue
            if one is None and not self._faults.waits(run.run_id):
                one = self._tried(
                    run.run_id, f"Run {run.run_id} is passed over", partial(self._opener.run, run)
                )
            if one is not None:
                found[model] = one if one.newest else replace(one, run=run, newest=True, guest=False)
        return found

    def _tried(self, what: str, told: str, opening: Callable[[], Served]) -> Served | None:
        try:
            opened = opening()
        except LensError as error:
            self._faults.failed(what, f"{told}: {error}")
            return None
        except Exception as error:  # noqa: BLE001 - one run's fault must not keep the others from being renewed
            log.debug("%s.", told, exc_info=True)
            self._faults.failed(what, f"{told}: {type(error).__name__}: {first_line(error)}")
            return None
        self._faults.mended(what)
        return opened


def _kind(served: Served) -> tuple[Searcher, bool]:
    return served.searcher, served.newest
