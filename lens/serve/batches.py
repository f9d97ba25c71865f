"""Embedding requests of many threads, joined into batches for one."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lens.search import Embedder
from lens.serve.decode import Decoders
from lens.serve.problems import Overloaded

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Job:
    work: Callable[[Sequence[Any]], Any]
    given: Sequence[Any]
    done: "Future[Any]"


class Batcher:
    """One thread that embeds for all models: two at once would only take turns on the same processor.

    Whatever waits when a pass begins, and is of its kind, goes with it; so a single request never waits for others to
    come, and many at once fill the batches by themselves.

    Args:
        most: pictures or texts in one pass.
        seconds: that a caller waits for its vectors.
        observe: is told the size of each pass; name: of the thread.
    """

    def __init__(
        self, most: int, seconds: float, observe: Callable[[int], None], name: str = "embedding"
    ) -> None:
        self._most, self._seconds, self._observe = most, seconds, observe
        self._jobs: queue.Queue[_Job | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __call__(self, work: Callable[[Sequence[Any]], Any], given: Sequence[Any]) -> Any:
        """`work(given)`, a value for each, computed together with what others ask of the same `work`.

        Raises what `work` raises, and Overloaded where the time is up.
        """
        job = _Job(work, given, Future())
        self._jobs.put(job)
        try:
            return job.done.result(self._seconds)
        except Late as error:
            job.done.cancel()
            raise Overloaded("The service is too busy to answer now; try again in a moment.") from error

    def close(self) -> None:
        """Finish what waits, and end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        waiting: list[_Job] = []
        while True:
            if not waiting:
                job = self._jobs.get()
                if job is None:
                    return
                waiting.append(job)
            ended = self._drain(waiting)
            first = waiting[0]
            batch, size, later = [], 0, []
            for job in waiting:
                fits = size == 0 or size + len(job.given) <= self._most
                if job.work == first.work and fits:
                    batch.append(job)
                    size += len(job.given)
                else:
                    later.append(job)
            waiting = later
            self._pass(first.work, [job for job in batch if job.done.set_running_or_notify_cancel()])
            if ended:
                self._jobs.put(None)

    def _drain(self, waiting: list[_Job]) -> bool:
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return False
            if job is None:
                return True
            waiting.append(job)

    def _pass(self, work: Callable[[Sequence[Any]], Any], batch: Sequence[_Job]) -> None:
        if not batch:
            return
        try:
            vectors = work([one for job in batch for one in job.given])
        except BaseException as error:  # noqa: BLE001 - each caller is told, and the thread lives on
            for job in batch:
                job.done.set_exception(error)
            return
        self._observe(len(vectors))
        start = 0
        for job in batch:
            job.done.set_result(vectors[start : start + len(job.given)])
            start += len(job.given)


class ServedEmbedder(Embedder):
    """An embedder whose pictures are decoded in processes of their own, and whose passes are shared by all requests."""

    def __init__(self, embedder: Embedder, decoders: Decoders, batcher: Batcher) -> None:
        super().__init__(
            embedder.model,
            embedder.image_size,
            name=embedder.name,
            run_id=embedder.run_id,
            precision=embedder.precision,
        )
        self._decoders, self._batcher = decoders, batcher
        self.own = embedder  # for work that is not to be shared, as an explanation's hundred passes

    def open(self, source: Any) -> Image.Image:
        """A picture as the model sees it, RGB [S, S]; `source` is the bytes of a file. Raises LensError."""
        return self._decoders.square(source, self.image_size)

    def images(self, images: Sequence[Image.Image]) -> Vectors:
        """As `Embedder.images`."""
        return self._batcher(super().images, images)  # type: ignore[no-any-return]

    def texts(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.texts`."""
        return self._batcher(super().texts, texts)  # type: ignore[no-any-return]
