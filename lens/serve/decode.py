"""Pictures of strangers, decoded in processes of their own: what hangs or breaks there ends there."""

import multiprocessing
import resource
import signal
from concurrent.futures import TimeoutError as Late
from typing import Any

import numpy as np
from pebble import ProcessExpired, ProcessPool
from PIL import Image

from lens.data.images import fit_square, load_rgb
from lens.errors import LensError
from lens.serve.problems import BadPicture
from lens.serve.settings import TYPES, Limits

_MEMORY = 2 << 30  # bytes of address space for one process; 64 million pixels need 0.6 of them at most


class Decoders:
    """A few processes that decode pictures.

    Args:
        limits: of one picture.
        processes: how many.
    """

    def __init__(self, limits: Limits, processes: int) -> None:
        self._limits = limits
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads of torch
        self._pool = ProcessPool(processes, context=context, initializer=_begin)
        for started in [self._pool.schedule(_nothing) for _ in range(processes)]:
            started.result()

    def square(self, source: bytes, size: int) -> Image.Image:
        """The whole picture on a white square as `lens.data.images.fit_square` makes it, RGB [size, size].

        Raises BadPicture for what is no picture of a known type, breaks a limit or a decoder.
        """
        values = self._ask(_square, source, size)
        return Image.fromarray(values)

    def close(self) -> None:
        """End the processes; what they are at is lost."""
        self._pool.stop()
        self._pool.join()

    def _ask(self, work: Any, source: bytes, size: int) -> np.ndarray:
        kind = sniffed(source)
        if kind not in TYPES:
            raise BadPicture(f"The picture is {kind or 'of no known type'}; send {', '.join(TYPES)}.")
        if len(source) > self._limits.bytes:
            raise BadPicture(
                f"The picture has {len(source):,} bytes; at most {self._limits.bytes:,} are taken."
            )
        given = (source, size, self._limits.pixels)
        try:
            found: np.ndarray | str = self._pool.schedule(
                work, args=given, timeout=self._limits.seconds
            ).result()
        except Late as error:
            raise BadPicture(f"The picture takes more than {self._limits.seconds:g} s to decode.") from error
        except (ProcessExpired, MemoryError) as error:
            raise BadPicture("The picture cannot be decoded: its decoder broke down.") from error
        if isinstance(found, str):
            raise BadPicture(found)
        return found


def sniffed(source: bytes) -> str:
    """The type by the first bytes: one of Pillow's names, TIFF or SVG where it is one of these, else ""."""
    for name, start in (
        ("JPEG", b"\xff\xd8\xff"),
        ("PNG", b"\x89PNG\r\n\x1a\n"),
        ("GIF", b"GIF87a"),
        ("GIF", b"GIF89a"),
        ("BMP", b"BM"),
        ("TIFF", b"II*\x00"),
        ("TIFF", b"MM\x00*"),
    ):
        if source.startswith(start):
            return name
    if source[:4] == b"RIFF" and source[8:12] == b"WEBP":
        return "WEBP"
    if source[4:8] == b"ftyp":
        return "HEIF"
    head = source[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return "SVG" if head.startswith((b"<svg", b"<?xml", b"<!doctype svg")) else ""


def _begin() -> None:
    """The service ends these processes; a Ctrl-C in its terminal is not theirs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _nothing() -> None:
    """What a process is asked first, so that it has started before it is needed."""


def _square(source: bytes, size: int, pixels: int) -> np.ndarray | str:
    """uint8 [size, size, 3], or the sentence that says why not: an exception of this kind would not travel whole."""
    try:
        return fit_square(load_rgb(source, pixels, at_least=size), size)
    except LensError as error:
        sentence = str(error)  # of a file without a name
        return sentence[:1].upper() + sentence[1:]
