"""What stands before the routes, on a small application of its own."""

import asyncio
import http.client
import threading
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from lens.serve.guards import Guard
from tests.serve.browser import running

GUARD: dict[str, Any] = {"body": 1000, "seconds": 0.5, "concurrent": 3, "key": None, "hosts": ["testserver"]}


def guarded(**settings: Any) -> tuple[FastAPI, threading.Event]:
    """An application whose answers wait for the event."""
    app, ready = FastAPI(), threading.Event()

    @app.get("/api/slow")
    def slow() -> str:
        ready.wait(10)
        return "done"

    @app.post("/api/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    @app.get("/api/broken")
    def broken() -> None:
        raise ZeroDivisionError("a secret of the inside")

    @app.get("/")
    def page() -> str:
        return "the page"

    app.add_middleware(Guard, **{**GUARD, "leaving": threading.Event(), **settings})
    return app, ready


def test_more_than_are_worked_on_at_once_are_told_to_come_again() -> None:
    app, ready = guarded()

    async def crowd() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            waiting = [asyncio.create_task(client.get("/api/slow")) for _ in range(3)]
            await asyncio.sleep(0.1)
            answer = await client.post("/api/echo", content=b"x")
            assert answer.status_code == 429 and answer.headers["retry-after"] == "1"
            assert answer.json()["error"]["kind"] == "busy"
            assert (await client.get("/")).status_code == 200  # the page itself is always there
            ready.set()
            assert [one.status_code for one in await asyncio.gather(*waiting)] == [200] * 3
            assert (await client.get("/api/slow")).status_code == 200

    asyncio.run(crowd())


def test_a_service_that_ends_says_so_in_each_answer() -> None:
    leaving = threading.Event()
    app, _ = guarded(leaving=leaving)
    with TestClient(app) as client:
        assert "connection" not in client.get("/").headers
        leaving.set()
        for answer in (client.get("/"), client.post("/api/echo", content=b"x"), client.get("/nothing")):
            assert answer.headers["connection"] == "close"


def test_bodies_are_limited_as_said_and_as_sent() -> None:
    app, _ = guarded()
    with TestClient(app) as client:
        form, alone, limit = {"content-type": "multipart/form-data; boundary=x"}, 64 * 1024, 1000 + 64 * 1024
        assert client.post("/api/echo", content=bytes(limit), headers=form).json() == limit
        assert client.post("/api/echo", content=bytes(alone)).json() == alone
        answer = client.post(
            "/api/echo", content=bytes(alone + 1)
        )  # JSON holds up everything while it is read
        assert answer.status_code == 413 and "65,536 bytes of a query" in answer.text

        def unknown_length() -> Any:
            for _ in range(100):
                yield bytes(1000)

        for content in (bytes(limit + 1), unknown_length()):
            answer = client.post("/api/echo", content=content, headers=form)
            assert answer.status_code == 413
            assert (
                answer.json()["error"]["sentence"]
                == "The request is larger than the 1,000 bytes that are taken."
            )
        answer = client.post("/api/echo", content=b"x", headers={"content-length": "-5"})
        assert answer.status_code == 400


def test_who_is_still_sending_what_is_too_large_sees_the_answer() -> None:
    app, _ = guarded(hosts=["127.0.0.1"], seconds=20)
    with running(app) as url:
        for _ in range(5):
            sending = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
            sending.request("POST", "/api/echo", bytes(20_000_000))  # breaks off where nobody reads it
            assert sending.getresponse().status == 413
            sending.close()


def test_an_upload_that_does_not_arrive_is_given_up() -> None:
    app, _ = guarded(seconds=0.2)

    async def slowly() -> int:
        async def drop_by_drop() -> Any:
            for _ in range(100):
                yield b"x"
                await asyncio.sleep(0.05)

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return (await client.post("/api/echo", content=drop_by_drop())).status_code

    assert asyncio.run(slowly()) == 408


def test_the_key_is_asked_of_everything_but_the_page() -> None:
    app, ready = guarded(key="open sesame")
    ready.set()
    with TestClient(app) as client:
        assert client.get("/").status_code == 200
        refused = client.get("/api/slow")
        assert refused.status_code == 401 and refused.json()["error"]["kind"] == "key"
        for given in ("open", "open sesame ", "öpen"):
            wrong = {"authorization": f"Basic {given}".encode()}
            assert client.get("/api/slow", headers=wrong).status_code == 401
        assert client.get("/metrics").status_code == 401
        right = {"authorization": "Bearer open sesame"}
        assert client.get("/api/slow", headers=right).status_code == 200
        client.cookies.set("lens_key", "open sesame".replace(" ", "%20"))
        assert client.get("/api/slow").status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("testserver", 200),
        ("testserver:99", 200),
        ("evil.example", 400),
        ("127.0.0.1:8001", 200),
        ("[::1]:8001", 200),
        ("127.0.0.1.evil.example", 400),
    ],
)
def test_another_sites_name_is_refused(host: str, status: int) -> None:
    app, _ = guarded()
    with TestClient(app) as client:
        assert client.get("/", headers={"host": host}).status_code == status


def test_pages_of_other_sites_get_nothing() -> None:
    app, _ = guarded()
    with TestClient(app) as client:
        for site, status in (("cross-site", 403), ("same-origin", 200), ("none", 200)):
            answer = client.post("/api/echo", content=b"x", headers={"sec-fetch-site": site})
            assert answer.status_code == status
        assert (
            client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200
        )  # a link to the page


def test_a_mistake_of_ours_is_told_without_its_inside(caplog: pytest.LogCaptureFixture) -> None:
    app, _ = guarded()
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/api/broken")
    assert answer.status_code == 500 and answer.json()["error"]["kind"] == "server"
    assert "secret" not in answer.text and "ZeroDivisionError" in caplog.text
    assert [one.name for one in caplog.records if one.levelname == "ERROR"] == ["lens.serve"]


def test_every_answer_carries_the_headers() -> None:
    app, _ = guarded()
    with TestClient(app, raise_server_exceptions=False) as client:
        for address in ("/", "/nothing", "/api/broken"):
            headers = client.get(address).headers
            assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
            assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
