"""The catalogue's own pictures, and nothing else of the disk."""

import io
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from lens.data.images import load_rgb
from lens.data.scan import perceptual_hash
from lens.errors import LensError
from lens.index import Reader
from lens.serve.problems import Missing

FULL, THUMBNAIL = 1280, 256  # longest side, pixels
_CACHE_BYTES = 128 << 20


class Pictures:
    """Pictures of items as JPEG files, made from the catalogue when asked for; the latest are kept in memory.

    A file is read only where its real place, links followed, lies below the real place of the catalogue's folder or
    of one of `roots`.
    """

    def __init__(self, roots: Sequence[str] = (), cache_bytes: int = _CACHE_BYTES) -> None:
        self._roots = [Path(root).expanduser().resolve() for root in roots]
        self._room, self._used = cache_bytes, 0
        self._kept: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def jpeg(self, reader: Reader, item: Mapping[str, Any], side: int) -> bytes:
        """The item's picture with its longest side at most `side` pixels. Raises Missing, saying why."""
        path = self._place(reader, item)
        state = path.stat()
        key = ("jpeg", str(path), state.st_mtime_ns, state.st_size, side)
        return self._cached(key, lambda: _jpeg(path, side))

    def hash(self, reader: Reader, item: Mapping[str, Any]) -> bytes | None:
        """The perceptual hash of the item's picture, 32 bytes; None where it cannot be read."""
        try:
            path = self._place(reader, item)
            state = path.stat()
            key = ("hash", str(path), state.st_mtime_ns, state.st_size)
            return self._cached(key, lambda: perceptual_hash(load_rgb(path, at_least=THUMBNAIL)))
        except (LensError, OSError):
            return None

    def rgb(self, reader: Reader, item: Mapping[str, Any], at_least: int) -> Image.Image:
        """The item's picture, decoded. Raises Missing."""
        return _open(self._place(reader, item), at_least)

    def _place(self, reader: Reader, item: Mapping[str, Any]) -> Path:
        return place_of(reader.manifest, item, self._roots)

    def _cached(self, key: tuple[Any, ...], make: Any) -> bytes:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made: bytes = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._used += len(made)
            while self._used > self._room:
                self._used -= len(self._kept.popitem(last=False)[1])
        return made


def place_of(manifest: Mapping[str, Any], item: Mapping[str, Any], roots: Sequence[Path] = ()) -> Path:
    """Where the item's picture lies. Raises Missing where the index knows no such place, or it is outside.

    An index is a file that may come from anybody, so its paths are not believed.
    """
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
        if not real.is_file():
            raise where
    except (OSError, RuntimeError, ValueError):
        raise where from None
    if not inside:
        raise Missing(
            f"The picture of the item {item['item_id']!r} is outside the catalogue; allow its folder by roots=."
        )
    return real


def _open(path: Path, at_least: int) -> Image.Image:
    try:
        return load_rgb(path, at_least=at_least)
    except LensError as error:
        raise Missing(f"The picture {path.name} of the catalogue cannot be read.") from error


def _jpeg(path: Path, side: int) -> bytes:
    image = _open(path, side)
    image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0)
    written = io.BytesIO()
    image.save(written, "JPEG", quality=88, optimize=True)
    return written.getvalue()
