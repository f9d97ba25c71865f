"""The catalogue's own pictures, and nothing else of the disk."""

import io
import os
import stat
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from lens.data.images import load_rgb
from lens.data.scan import perceptual_hash
from lens.errors import LensError
from lens.files import at_home
from lens.index import Reader
from lens.serve.problems import Missing, Overloaded

FULL, THUMBNAIL = 1280, 256  # longest side, pixels
_CACHE_BYTES = 128 << 20
_AT_ONCE = 2  # decoded at the same time: 64 million pixels take 0.7 GB, and twice that with transparency
_ENTRY = 100  # bytes of one entry of an ordered dictionary, beside its key and its value


class Pictures:
    """Pictures of items as JPEG files, made from the catalogue when asked for; the latest are kept in memory.

    A file is read only where its real place, links followed, lies below the real place of the catalogue's folder or
    of one of `roots`. Two are decoded at a time, and each is decoded once for all who ask for it meanwhile.

    Args:
        cache_bytes: of memory for what is kept, the places of the files included.
        seconds: that a caller waits for others' pictures.
    """

    def __init__(
        self, roots: Sequence[str] = (), cache_bytes: int = _CACHE_BYTES, seconds: float = 20.0
    ) -> None:
        self._roots = [at_home(root).resolve() for root in roots]
        self._room, self._used, self._seconds = cache_bytes, 0, seconds
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self._making: dict[_Key, Future[bytes]] = {}
        self._lock, self._turns = threading.Lock(), threading.Semaphore(_AT_ONCE)

    def jpeg(self, reader: Reader, item: Mapping[str, Any], side: int) -> bytes:
        """The item's picture with its longest side at most `side` pixels. Raises Missing, saying why; Overloaded."""
        path, state = self._place(reader, item)
        return self._cached((f"jpeg {side}", str(path), *state), lambda: _jpeg(path, side))

    def hash(self, reader: Reader, item: Mapping[str, Any]) -> bytes | None:
        """The perceptual hash of the item's picture, 32 bytes; None where it cannot be read. Raises Overloaded."""
        try:
            path, state = self._place(reader, item)
            return self._cached(("hash", str(path), *state), lambda: perceptual_hash(_open(path, THUMBNAIL)))
        except Missing:
            return None

    def rgb(self, reader: Reader, item: Mapping[str, Any], size: int) -> Image.Image:
        """The item's picture, its longest side at most `size` pixels, for a model: `fit_square` makes the same of it
        as of the whole. Raises Missing; Overloaded."""
        path, _ = self._place(reader, item)
        with self._turn():
            return _within(_open(path, size), size)

    def _place(self, reader: Reader, item: Mapping[str, Any]) -> tuple[Path, tuple[int, int]]:
        """The file, and by what a change of it is seen."""
        path, state = _found(reader.manifest, item, self._roots)
        return path, (state.st_mtime_ns, state.st_size)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=self._seconds):
            raise _busy()
        try:
            yield
        finally:
            self._turns.release()

    def _cached(self, key: "_Key", make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            others = self._making.get(key)
            if others is None:
                mine = self._making[key] = Future()
        if others is not None:
            try:
                return others.result(self._seconds)
            except Late:
                raise _busy() from None
        try:
            with self._turn():
                made = make()
        except BaseException as error:
            with self._lock:
                del self._making[key]
            mine.set_exception(error)
            raise
        with self._lock:  # at once: nobody may find it neither kept nor being made
            del self._making[key]
            self._keep(key, made)
        mine.set_result(made)
        return made

    def _keep(self, key: "_Key", made: bytes) -> None:
        self._kept[key] = made
        self._used += _memory(key, made)
        while self._used > self._room:
            self._used -= _memory(*self._kept.popitem(last=False))


_Key = tuple[str, str, int, int]  # what is made, of which file, its time of change and its bytes


def _memory(key: _Key, made: bytes) -> int:
    """Bytes that an entry takes, all counted."""
    return _ENTRY + sys.getsizeof(key) + sum(map(sys.getsizeof, key)) + sys.getsizeof(made)


def _busy() -> Overloaded:
    return Overloaded("The service is too busy to show pictures now; try again in a moment.")


def place_of(manifest: Mapping[str, Any], item: Mapping[str, Any], roots: Sequence[Path] = ()) -> Path:
    """Where the item's picture lies. Raises Missing where the index knows no such place, or it is outside.

    An index is a file that may come from anybody, so its paths are not believed.
    """
    return _found(manifest, item, roots)[0]


def _found(
    manifest: Mapping[str, Any], item: Mapping[str, Any], roots: Sequence[Path]
) -> tuple[Path, os.stat_result]:
    root = (manifest.get("catalogue") or {}).get("root")
    name = item.get("path")
    if not root or not name:
        raise Missing(f"The index of {manifest['model']['name']} keeps no pictures of its items.")
    base = Path(root)
    where = Missing(f"The picture of the item {item['item_id']!r} is no longer in the catalogue.")
    try:
        if PurePosixPath(name).is_absolute() or "\x00" in name:
            raise where
        real = (base / name).resolve()
        inside = any(real.is_relative_to(folder) for folder in (base.resolve(), *roots))
        state = real.stat()
    except (OSError, RuntimeError, ValueError):
        raise where from None
    if not stat.S_ISREG(state.st_mode):
        raise where
    if not inside:
        raise Missing(
            f"The picture of the item {item['item_id']!r} is outside the catalogue; allow its folder by roots=."
        )
    return real, state


def _open(path: Path, at_least: int) -> Image.Image:
    try:
        return load_rgb(path, at_least=at_least)
    except LensError as error:
        raise Missing(f"The picture {path.name} of the catalogue cannot be read.") from error


def _within(image: Image.Image, size: int) -> Image.Image:
    """Made smaller as `fit_square` does it, which leaves it as it is then."""
    scale = size / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


def _jpeg(path: Path, side: int) -> bytes:
    image = _open(path, side)
    image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0)
    written = io.BytesIO()
    image.save(written, "JPEG", quality=88, optimize=True)
    return written.getvalue()
