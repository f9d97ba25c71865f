"""The service as processes: started, replaced, stopped, killed."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from tests.bulk.trained import ROOT, environment
from tests.serve.server import Server, runs, serving
from tests.serve.store import Store


def words(store: Store, *more: str) -> tuple[str, ...]:
    return (f"uri={store.uri}", f"run={store.runs['resnet_tiny']}", "decoders=1", *more)


def run(*given: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "lens.serve", *given], cwd=ROOT, env={**environment(), **(env or {})}, text=True,
        timeout=100, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_a_busy_port_is_one_sentence_that_names_a_free_one(store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, told = run(*words(store, f"port={port}"))
    assert status == 2 and told.count("\n") == 1
    assert told.startswith(f"Port {port} on 127.0.0.1 is in use; port=")
    free = int(told.split("port=")[1].split()[0])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", free))


@pytest.mark.slow
def test_mistakes_are_one_sentence(store: Store, tmp_path: Path) -> None:
    for given, sentence in (
        ((f"uri=sqlite:///{tmp_path / 'none.db'}",), "There is no tracking store"),
        ((f"uri={store.uri}", "run=nobody"), "There is no run 'nobody'"),
        ((f"uri={store.uri}", "seconds=0"), "seconds=0: give a number above 0."),
        ((f"uri={store.uri}", "prot=80"), "port"),
        ((f"uri={store.uri}", "port=99999"), "port=99999: a port is a number from 0 to 65535."),
        ((f"uri={store.uri}", "host=nowhere.invalid"), "host=nowhere.invalid: there is no such address"),
    ):
        status, told = run(*(("port=0",) if "port=99999" not in given else ()), *given)
        assert status == 2 and sentence in told and "Traceback" not in told, told
        assert len(told.strip().splitlines()) == 1, told


def test_the_help_names_the_commands(store: Store) -> None:
    status, told = run("--help")
    assert status == 0 and "python -m lens.serve run=RUN_ID" in told and "LENS_API_KEY" in told


@pytest.mark.slow
def test_what_is_in_flight_is_finished_and_nothing_is_left_behind(store: Store, tmp_path: Path) -> None:
    with serving(tmp_path / "log", *words(store)) as server:
        assert "Warning" not in server.output and f"The page is at {server.url}" in server.output
        photo = store.photo().read_bytes()
        begun, answers = threading.Event(), []

        def slowly() -> None:
            def body() -> object:
                head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
                yield head + photo[:100]
                begun.set()
                time.sleep(1.5)
                yield photo[100:] + b"\r\n--x--\r\n"

            headers = {"content-type": "multipart/form-data; boundary=x"}
            answers.append(
                httpx.post(f"{server.url}/api/search", content=body(), headers=headers, timeout=20)
            )

        thread = threading.Thread(target=slowly)
        thread.start()
        assert begun.wait(10)
        time.sleep(0.3)
        below = [psutil.Process(pid) for pid in server.children()]
        assert len(below) >= 2
        assert server.stop() == 0
        thread.join()
        assert answers[0].status_code == 200 and answers[0].json()["count"] == 10
        _, left = psutil.wait_procs(below, 10)  # Python's own helpers end a moment later
        assert not left, left


@pytest.mark.slow
def test_it_is_replaced_without_a_lost_answer_and_comes_back_from_the_dead(
    store: Store, tmp_path: Path
) -> None:
    with serving(tmp_path / "log", *words(store)) as server:
        answers: list[int | str] = []
        ended = threading.Event()

        def ask() -> None:
            query = {"terms": [{"item": "sneaker/none"}]}
            with httpx.Client(timeout=60) as client:  # over one connection, as long as it stays open
                while not ended.is_set():
                    try:
                        answers.append(client.post(f"{server.url}/api/search", json=query).status_code)
                    except httpx.HTTPError as error:
                        answers.append(repr(error))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for one in threads:
            one.start()
        (first,) = _answering(server)
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 90
        while _answering(server) in ([first], []) or first in _answering(server):
            assert time.monotonic() < deadline, server.output
            time.sleep(0.1)
        time.sleep(0.5)
        ended.set()
        for one in threads:
            one.join()
        assert set(answers) == {404} and len(answers) > 10  # no such item: a quick answer
        (second,) = _answering(server)
        os.kill(second, signal.SIGKILL)
        deadline = time.monotonic() + 90
        while second in _answering(server) or not _answering(server):
            assert time.monotonic() < deadline, server.output
            time.sleep(0.1)
        assert (
            httpx.get(f"{server.url}/readyz", timeout=90).status_code == 200
        )  # the socket was open all the time


def _answering(server: Server) -> list[int]:
    """The processes that answer, or will: children of the one that holds the socket, but Python's own helper."""
    found = []
    for child in psutil.Process(server.process.pid).children():
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.slow
def test_where_no_process_can_be_started_the_old_one_goes_on(store: Store, tmp_path: Path) -> None:
    with serving(tmp_path / "log", *words(store)) as server:
        (first,) = _answering(server)
        holder = psutil.Process(server.process.pid)
        before = holder.rlimit(psutil.RLIMIT_NOFILE)
        holder.rlimit(psutil.RLIMIT_NOFILE, (3, before[1]))  # no pipe to a new process can be opened
        server.process.send_signal(signal.SIGHUP)
        _until(server, lambda: "No process can be started: Too many open files" in server.output)
        assert httpx.get(f"{server.url}/readyz", timeout=90).status_code == 200
        os.kill(first, signal.SIGKILL)
        _until(server, lambda: server.output.count("No process can be started") >= 2)
        assert server.process.poll() is None
        holder.rlimit(psutil.RLIMIT_NOFILE, before)
        assert httpx.get(f"{server.url}/readyz", timeout=90).status_code == 200
        assert first not in _answering(server) and "Traceback" not in server.output


def _until(server: Server, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not reached():
        assert time.monotonic() < deadline, server.output
        time.sleep(0.1)


@pytest.mark.slow
def test_the_one_that_answers_ends_with_the_one_that_was_killed(store: Store, tmp_path: Path) -> None:
    with serving(tmp_path / "log", *words(store)) as server:
        below = server.children()
        server.process.kill()
        server.process.wait()
        deadline = time.monotonic() + 30
        while any(runs(pid) for pid in below):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with serving(tmp_path / "log2", *words(store), port=server.port):
            pass


def test_others_are_let_in_with_a_warning_and_a_key(store: Store, tmp_path: Path) -> None:
    key = "a-long-secret"
    given = words(store, "host=0.0.0.0")
    server = Server(tmp_path / "log", *given, env={"LENS_API_KEY": key})
    try:
        server.wait_ready()
        assert "Warning: others than this machine can reach the service" in server.output
        assert "no key" not in server.output and key not in server.output
        with httpx.Client(base_url=server.url) as client:
            assert client.get("/api/models").status_code == 401
            assert client.post("/api/key", json={"key": "wrong"}).status_code == 401
            shown = client.post("/api/key", json={"key": key})
            assert shown.status_code == 204
            assert (
                "HttpOnly" in shown.headers["set-cookie"] and "strict" in shown.headers["set-cookie"].lower()
            )
            assert client.get("/api/models").json()["needs_key"] is True
        assert httpx.get(f"{server.url}/").status_code == 200
    finally:
        server.kill()


@pytest.mark.slow
def test_killed_at_random_it_is_ready_again_with_the_same_answers(store: Store, tmp_path: Path) -> None:
    """All its processes at once, while they start or while they answer; `LENS_KILLS` says how often."""
    random = np.random.default_rng()
    given = (f"uri={store.uri}", f"run=[{store.runs['resnet_tiny']},{store.runs['clip_tiny']}]", "decoders=1")
    before = _contents(store)
    with serving(tmp_path / "log", *given) as server:
        expected, port = _answers(server, store), server.port
    assert len(expected) == 9
    for kill in range(int(os.environ.get("LENS_KILLS", "15"))):
        server = Server(tmp_path / f"log{kill}", *given, port=port)
        try:
            if kill % 3 == 0:
                time.sleep(
                    random.uniform(0, 5)
                )  # it may be anywhere between its first line and its first answer
            else:
                server.wait_ready()
                assert _answers(server, store) == expected, server.output
                ended = threading.Event()
                crowd = [threading.Thread(target=_ask_on, args=(server, store, ended)) for _ in range(4)]
                for one in crowd:
                    one.start()
                time.sleep(random.uniform(0, 1))
                ended.set()
        finally:
            server.kill()
        assert "Traceback" not in server.output, server.output
    with serving(tmp_path / "last", *given, port=port) as server:
        assert _answers(server, store) == expected
    assert _contents(store) == before  # nothing was stored, nothing was lost


def _answers(server: Server, store: Store) -> list[list[tuple[str, float]]]:
    """What it finds for three photographs, items and words, with the cosines to the last digit."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        told = []
        for number in (1, 20, 50):
            photo = store.photo(number)
            picture = {"image": (photo.name, photo.read_bytes())}
            told.append(client.post("/api/search", files=picture, data={"model": "resnet_tiny"}))
            item = photo.relative_to(store.shoes).as_posix()
            told.append(client.post("/api/search", json={"terms": [{"item": item}], "k": 5}))
            words = {"terms": [{"text": photo.parent.parent.name}], "models": ["clip_tiny"]}
            told.append(client.post("/api/search", json=words))
    assert {one.status_code for one in told} == {200}, [one.text for one in told]
    return [[(found["item_id"], found["cosine"]) for found in one.json()["results"]] for one in told]


def _ask_on(server: Server, store: Store, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            _answers(server, store)
        except httpx.HTTPError:  # it was killed
            return


def _contents(store: Store) -> dict[str, bytes]:
    """Each file of the indices, by its digest."""
    files = [file for model in store.runs for file in store.index(model).rglob("*") if file.is_file()]
    return {str(file): hashlib.sha256(file.read_bytes()).digest() for file in files}
