"""Connections on a real server: who asks is left alone, who says nothing or reads nothing is not waited for."""

import http.client
import socket
import threading
import time
from typing import Any

import pytest
from fastapi import FastAPI, Response

from lens.serve.guards import Guard
from tests.serve.browser import running

LARGE = 4_000_000  # bytes, more than sockets hold by themselves
pytestmark = pytest.mark.slow


def guarded(seconds: float, concurrent: int = 3) -> FastAPI:
    app = FastAPI()

    @app.get("/api/large")
    def large() -> Response:
        return Response(bytes(LARGE))

    @app.get("/api/small")
    def small() -> str:
        return "small"

    settings: dict[str, Any] = {
        "body": 1000,
        "key": None,
        "hosts": ["127.0.0.1"],
        "leaving": threading.Event(),
    }
    app.add_middleware(Guard, seconds=seconds, concurrent=concurrent, **settings)
    return app


def place(url: str) -> tuple[str, int]:
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)


def status(url: str) -> int:
    asking = http.client.HTTPConnection(*place(url), timeout=30)
    try:
        asking.request("GET", "/api/small")
        return asking.getresponse().status
    finally:
        asking.close()


def test_one_that_asks_keeps_its_connection_and_one_that_does_not_is_closed() -> None:
    with running(guarded(20), silence=2) as url:
        silent = socket.create_connection(place(url))
        silent.settimeout(30)
        asking = http.client.HTTPConnection(*place(url), timeout=30)
        asking.connect()
        asking.auto_open = 0  # it may not connect again
        until = time.monotonic() + 6
        while time.monotonic() < until:
            asking.request("GET", "/api/small")
            assert asking.getresponse().read() == b'"small"'
            time.sleep(0.05)
        assert silent.recv(1) == b""


def test_those_who_do_not_read_their_answers_keep_no_place_from_others() -> None:
    with running(guarded(2), silence=2) as url:
        stalled = [socket.create_connection(place(url)) for _ in range(3)]
        for one in stalled:
            one.sendall(b"GET /api/large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 3)
        until = time.monotonic() + 30
        while status(url) != 429:
            assert time.monotonic() < until, "they hold no place at all"
        while status(url) == 429:
            assert time.monotonic() < until
            time.sleep(0.1)
        for one in stalled:  # and they are cut, with what is under way to them
            one.settimeout(30)
            try:
                while one.recv(1_000_000):
                    pass
            except ConnectionResetError:
                pass
            one.close()


def test_one_that_reads_slowly_gets_all() -> None:
    with running(guarded(2), silence=2) as url:
        with socket.create_connection(place(url)) as slow:
            slow.settimeout(30)
            slow.sendall(b"GET /api/large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            read, until = 0, time.monotonic() + 8
            while time.monotonic() < until:
                read += len(slow.recv(200_000))
                time.sleep(0.5)
            while read < LARGE:
                got = len(slow.recv(1_000_000))
                assert got, read
                read += got
