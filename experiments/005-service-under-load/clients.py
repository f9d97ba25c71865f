"""The crowd: clients that ask without mercy, in processes of their own."""

import http.client
import json
import multiprocessing
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

PORT, PROCESSES = 8137, 2
HEADERS = {"content-type": "multipart/form-data; boundary=part"}


def body(picture: bytes, fields: dict[str, str]) -> bytes:
    """A form with a picture."""
    form = '--part\r\ncontent-disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    parts = [form.format(name, value) for name, value in fields.items()]
    head = '--part\r\ncontent-disposition: form-data; name="image"; filename="photo"\r\n\r\n'
    return "".join([*parts, head]).encode() + picture + b"\r\n--part--\r\n"


def ask(
    bodies: list[bytes], ids: list[str] | None, first: int, until: float, told: list[tuple[float, str]]
) -> None:
    """One client: a picture after the other over one connection, until the time is up. Nothing is tried twice.

    Told are the milliseconds of each answer and what was wrong with it, "" where nothing. `ids`: the
    item that each picture has to find first.
    """
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    number = first
    while time.time() < until:
        number = (number + 1) % len(bodies)
        start = time.perf_counter()
        try:
            connection.request("POST", "/api/search", bodies[number], HEADERS)
            answer = connection.getresponse()
            said = answer.read()
            wrong = "" if answer.status == 200 else f"error {answer.status}"
        except OSError as error:
            said, wrong = b"", f"error {error!r}"
            connection.close()
        except http.client.HTTPException as error:
            said, wrong = b"", f"error {error!r}"
            connection.close()
        if not wrong:
            results = json.loads(said)["results"]
            if len(results) != 10 or (ids is not None and results[0]["item_id"] != ids[number]):
                wrong = f"wrong {[one['item_id'] for one in results][:2]}"
        told.append(((time.perf_counter() - start) * 1000, wrong))


def crowd(bodies: list[bytes], ids: list[str] | None, clients: int, until: float, found: Any) -> None:
    """Several clients in one process."""
    told: list[tuple[float, str]] = []
    threads = [
        threading.Thread(target=ask, args=(bodies, ids, 37 * number, until, told))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.put(told)


def phase(
    bodies: list[bytes],
    ids: list[str] | None,
    clients: int,
    seconds: float,
    change: Callable[[], None] | None = None,
    every: float = 1.0,
) -> dict[str, Any]:
    """Clients for some seconds, while `change` is called again and again, so many seconds after the last.

    ids: of the item that each picture has to find first; None where they are not the catalogue's own.
    """
    context = multiprocessing.get_context("fork")
    found, until = context.Queue(), time.time() + seconds
    shares = [clients // PROCESSES + (number < clients % PROCESSES) for number in range(PROCESSES)]
    crowds = [
        context.Process(target=crowd, args=(bodies, ids, share, until, found)) for share in shares if share
    ]
    start, changes = time.time(), 0
    for one in crowds:
        one.start()
    while change is not None and time.time() < until - every:
        change()
        changes += 1
        time.sleep(every)
    told = [one for _ in crowds for one in found.get()]
    took = time.time() - start
    for one in crowds:
        one.join()
    for wrong in sorted({wrong for _, wrong in told if wrong})[:5]:
        print("   ", wrong)
    times = np.array([milliseconds for milliseconds, wrong in told if not wrong])
    return {
        "clients": clients, "seconds": round(took, 1), "answers": len(times),
        "errors": sum(wrong.startswith("error") for _, wrong in told),
        "wrong": sum(wrong.startswith("wrong") for _, wrong in told),
        "changes": changes, "images_per_second": round(len(times) / took, 1),
        "p50_ms": round(float(np.percentile(times, 50)), 1), "p99_ms": round(float(np.percentile(times, 99)), 1),
        "longest_ms": round(float(times.max()), 1),
    }  # fmt: skip
