"""What stands before every route: size and time of a request, how many at once, the key, and headers of answers."""

import asyncio
import hmac
import ipaddress
import json
import logging
import re
import threading
from collections.abc import Sequence
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lens.serve.problems import Refused

COOKIE = "lens_key"
_OPEN = ("/api/key", "/healthz", "/readyz")  # beside the page itself, which holds nothing secret
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
_OVERHEAD = 64 * 1024  # of a multipart body, beside its pictures; and all of a body without any
_LINGER = (
    3.0  # seconds in which the rest of what is too large is read: who still sends does not see the answer
)
log = logging.getLogger("lens.serve")


class Guard:
    """ASGI middleware around the whole application.

    Args:
        body: bytes of a request's body with pictures at most; seconds: for it to arrive, and for an answer to be read.
        concurrent: requests below /api/ that are worked on at once.
        key: that those requests have to bring, as `Authorization: Bearer KEY` or as the page's cookie; None asks none.
        hosts: names that a browser may call the service by, "*" any: another site's name that was pointed at this
            machine would let its pages read what is meant for this machine alone.
        leaving: once set, each answer ends its connection.
    """

    def __init__(
        self,
        app: ASGIApp,
        body: int,
        seconds: float,
        concurrent: int,
        key: str | None,
        hosts: Sequence[str],
        leaving: threading.Event,
    ) -> None:
        self.app, self._hosts, self._leaving = app, [host.lower() for host in hosts], leaving
        self._body, self._seconds, self._concurrent, self._key = body, seconds, concurrent, key
        self._busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
                if self._leaving.is_set():
                    headers["connection"] = "close"
            try:
                async with asyncio.timeout(self._seconds):  # who does not read keeps a place from others
                    await send(message)
            except TimeoutError:
                raise _Unread from None

        counted = scope["path"].startswith("/api/")
        self._busy += counted
        try:
            self._admit(scope, counted)
            await self.app(scope, await self._whole(scope, receive), send_guarded)
        except _Unread:
            log.info("%s %r: the answer was not read", scope["method"], scope["path"])
        except Refused as refused:
            with suppress(_Unread):
                await _answer(refused, send_guarded)
        except Exception:  # noqa: BLE001 - one request went wrong, not the service
            log.exception("%s %r failed", scope["method"], scope["path"])
            if begun:
                raise
            with suppress(_Unread):
                await _answer(
                    Refused(500, "server", "The service made a mistake; its log says more."), send_guarded
                )
        finally:
            self._busy -= counted

    def _admit(self, scope: Scope, counted: bool) -> None:
        headers = Headers(scope=scope)
        name = re.sub(r":\d+$", "", headers.get("host", "")).lower()
        if name not in self._hosts and "*" not in self._hosts and not _is_address(name):
            sentence = f"The service is not called {name[:100]!r}; allow a name by hosts=[NAME]."
            raise Refused(400, "query", sentence)
        if counted and headers.get("sec-fetch-site") == "cross-site":
            raise Refused(403, "query", "Pages of other sites may not use this service.")
        if counted and self._busy > self._concurrent:
            sentence = "The service is at its limit of requests at once; try again in a second."
            raise Refused(429, "busy", sentence, retry_after="1")
        protected = counted or scope["path"] in ("/metrics", "/openapi.json")
        if self._key is not None and protected and scope["path"] not in _OPEN:
            if not same_key(_given_key(scope), self._key):
                sentence = "This service asks for a key: send it as Authorization: Bearer KEY."
                raise Refused(401, "key", sentence, www_authenticate="Bearer")

    async def _whole(self, scope: Scope, receive: Receive) -> Receive:
        """A receive that gives the whole body at once, read within the limits before any route sees it."""
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return receive
        headers = Headers(scope=scope)
        form = headers.get("content-type", "").lower().startswith("multipart/form-data")
        limit = _OVERHEAD + (self._body if form else 0)
        said = headers.get("content-length", "0")
        if not said.isdecimal():
            raise Refused(400, "query", "The header Content-Length is no number.")
        try:
            async with asyncio.timeout(self._seconds):
                body = None if int(said) > limit else await _read(receive, limit)
        except TimeoutError:
            sentence = f"The upload took longer than {self._seconds:g} s; send a smaller picture."
            raise Refused(408, "upload", sentence, connection="close") from None
        if body is None:
            await _drop(receive)
            beyond = (
                f"{self._body:,} bytes that are taken"
                if form
                else f"{limit:,} bytes of a query without pictures"
            )
            raise Refused(413, "upload", f"The request is larger than the {beyond}.", connection="close")
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        return replay


class _Unread(Exception):
    """A client that does not read its answer."""


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The whole body; None where it is longer than the limit."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "upload", "The connection ended before the upload did.")
        size += len(message.get("body", b""))
        if size > limit:
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _drop(receive: Receive) -> None:
    """Read the rest of a body and forget it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER):
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass


def _is_address(host: str) -> bool:
    """Whether it is an address itself: only names can be pointed at another machine."""
    try:
        ipaddress.ip_address(host.strip("[]"))
        return True
    except ValueError:
        return False


def same_key(given: str | None, key: str) -> bool:
    """Compared in a time that tells nothing of the key."""
    return given is not None and hmac.compare_digest(given.encode(), key.encode())


def _given_key(scope: Scope) -> str | None:
    headers = Headers(scope=scope)
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    return cookie_parser(headers.get("cookie", "")).get(COOKIE)


async def _answer(refused: Refused, send: Send) -> None:
    body = json.dumps(refused.body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **refused.headers}
    await send(
        {
            "type": "http.response.start",
            "status": refused.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
