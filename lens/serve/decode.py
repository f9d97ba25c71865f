"""Pictures of strangers, decoded in processes of their own: what hangs or breaks there ends there."""

import logging
import multiprocessing
import queue
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from PIL import Image

from lens.data.images import fit_square, load_rgb
from lens.errors import LensError
from lens.serve.problems import BadPicture, Overloaded
from lens.serve.settings import TYPES, Limits

_MEMORY = 2 << 30  # bytes of address space for one process; 64 million pixels need 0.6 of them at most
_START = 30.0  # seconds that a process may take to start
_PICTURE, _SENTENCE = b"p", b"s"  # what an answer begins with; it is bytes, so that nothing is unpickled
_LONGEST = 1000  # characters of a sentence
log = logging.getLogger("lens.serve")


class Decoders:
    """A few processes that decode pictures. One that dies is started again when it is needed next.

    A picture has `limits.seconds` for all: it waits for half of them at most, so that who comes last in a crowd is
    refused before work is put into a picture that would not be finished.

    Args:
        limits: of one picture.
        processes: how many.
    """

    def __init__(self, limits: Limits, processes: int) -> None:
        self._limits = limits
        self._all = [_Decoder(limits.pixels) for _ in range(processes)]
        self._free: queue.Queue[_Decoder] = queue.Queue()
        self._mine = threading.local()
        self._closed = False
        for decoder in self._all:  # they start side by side
            decoder.start()
            self._free.put(decoder)
        if not self.alive():
            log.error("No process that decodes pictures has started; uploads are refused until one does.")

    def square(self, source: bytes, size: int) -> Image.Image:
        """The whole picture on a white square as `lens.data.images.fit_square` makes it, RGB [size, size].

        Raises BadPicture for what is no picture of a known type, breaks a limit or a decoder; Overloaded where no
        process is free in time.
        """
        self._check(source)
        until = getattr(self._mine, "until", None) or time.monotonic() + self._limits.seconds
        # A process that was ended while it had nothing to do is no fault of this picture.
        answer = self._ask(source, size, until) or self._ask(source, size, until)
        if answer is None:
            raise _busy()
        if answer[:1] == _SENTENCE:
            raise BadPicture(answer[1:].decode())
        return Image.frombytes("RGB", (size, size), answer[1:])

    @contextmanager
    def together(self) -> Iterator[None]:
        """Inside, all pictures that this thread has decoded share the time of one."""
        self._mine.until = time.monotonic() + self._limits.seconds
        try:
            yield
        finally:
            del self._mine.until

    def alive(self) -> bool:
        """Whether pictures can be decoded. Processes that died are started again, which takes about a second."""
        works = False
        for _ in self._all:
            try:
                decoder = self._free.get_nowait()
            except queue.Empty:
                return not self._closed  # some are at work
            try:
                works = decoder.ready(_START) or works
            finally:
                self._free.put(decoder)
        return works and not self._closed

    def close(self) -> None:
        """End the processes; what they are at is lost."""
        if self._closed:
            return
        self._closed = True
        for decoder in self._all:
            decoder.kill()
        for _ in self._all:  # who was waiting for an answer hands the process back now
            self._free.get().end()

    def _check(self, source: bytes) -> None:
        kind = sniffed(source)
        if kind not in TYPES:
            raise BadPicture(f"The picture is {kind or 'of no known type'}; send {', '.join(TYPES)}.")
        if len(source) > self._limits.bytes:
            raise BadPicture(
                f"The picture has {len(source):,} bytes; at most {self._limits.bytes:,} are taken."
            )

    def _ask(self, source: bytes, size: int, until: float) -> bytes | None:
        """The answer of a process; None where the one that was free turned out to have been ended before."""
        half = left = self._limits.seconds / 2
        try:
            decoder = self._free.get(timeout=max(0.0, until - half - time.monotonic()))
        except queue.Empty:
            raise _busy() from None
        try:
            if self._closed or not decoder.ready(until - time.monotonic()):
                return None
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            return decoder.decode(source, size, left)
        except TimeoutError as error:
            if left < half:  # others took the time
                raise _busy() from error
            raise BadPicture(f"The picture takes more than {left:.2g} s to decode.") from error
        finally:
            self._free.put(decoder)


class _Decoder:
    """One process; whoever took it from the queue of those that are free is the only one to use it."""

    def __init__(self, pixels: int) -> None:
        self._context = multiprocessing.get_context("spawn")  # a fork would copy the threads of torch
        self._pixels = pixels
        self._process: BaseProcess | None = None
        self._began, self._greeted = 0.0, False

    def start(self) -> None:
        """Start a process; there is none."""
        self._pipe, theirs = self._context.Pipe()
        with theirs:  # once only the process holds it, its end is the end of the pipe
            process = self._context.Process(target=_work, args=(theirs, self._pixels), daemon=True)
            process.start()
        self._process, self._began = process, time.monotonic()

    def ready(self, seconds: float) -> bool:
        """Whether the process can take a picture; one that died is started again, and waited for."""
        try:
            if self._process is not None and wait([self._process.sentinel], 0):
                log.warning("A process that decodes pictures has died; another one is started.")
                self.end()
            elif not self._greeted and self._process is not None and time.monotonic() > self._began + _START:
                log.warning("A process that decodes pictures hung as it started; another one is started.")
                self.end()
            if self._process is None:
                self.start()
            if not self._greeted and self._pipe.poll(max(0.0, seconds)):
                self._greeted = self._pipe.recv_bytes() == b""
        except (OSError, EOFError):
            log.exception("A process that decodes pictures does not start")
        return self._greeted

    def decode(self, source: bytes, size: int, seconds: float) -> bytes | None:
        """What `_decoded` makes of the picture in the process; None where that was dead before it had the picture.

        Raises TimeoutError, and BadPicture where the process died of the picture.
        """
        assert self._process is not None  # it is ready
        given, taken = time.monotonic(), False
        limit = threading.Timer(seconds, self._process.kill)
        limit.start()
        try:
            self._pipe.send((source, size))
            taken = self._pipe.recv_bytes() == b""
            return self._pipe.recv_bytes(max(size * size * 3 + 1, 4 * _LONGEST + 1))
        except (OSError, EOFError) as error:
            self.end()  # an answer that is too long leaves the rest of it in the pipe
            if not taken:
                return None
            if time.monotonic() - given >= seconds:
                raise TimeoutError from error
            raise BadPicture("The picture cannot be decoded: its decoder broke down.") from error
        finally:
            limit.cancel()

    def kill(self) -> None:
        """End what the process is at; also for those who did not take it from the queue."""
        if (process := self._process) is not None:
            process.kill()

    def end(self) -> None:
        """End the process, and wait for that."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process, self._greeted = None, False


def _busy() -> Overloaded:
    return Overloaded("The service is too busy to answer now; try again in a moment.")


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


def _work(pipe: Connection, pixels: int) -> None:
    """All that a process does, until the service ends it, or ends itself."""
    for number in (signal.SIGINT, signal.SIGHUP):  # what a terminal sends is not meant for this process
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, EOFError):
        pipe.send_bytes(b"")
        while True:
            source, size = pipe.recv()
            pipe.send_bytes(b"")
            pipe.send_bytes(_decoded(source, size, pixels))


def _decoded(source: bytes, size: int, pixels: int) -> bytes:
    """The values of [size, size, 3] behind one letter, or behind another the sentence that says why not."""
    try:
        return _PICTURE + fit_square(load_rgb(source, pixels, at_least=size), size).tobytes()
    except LensError as error:
        sentence = str(error)  # of a file without a name
    except MemoryError:
        sentence = "the picture cannot be decoded: that takes too much memory."
    return _SENTENCE + (sentence[:1].upper() + sentence[1:_LONGEST]).encode(errors="replace")
