"""What the service does about terminals that close, readers that leave, and connections that say nothing."""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.bulk.trained import ROOT, environment
from tests.serve.server import Server, free_port, serving
from tests.serve.store import Store


def words(store: Store, *more: str) -> tuple[str, ...]:
    return (f"uri={store.uri}", f"run={store.runs['resnet_tiny']}", "decoders=1", *more)


def until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 90
    while True:
        assert process.poll() is None and time.monotonic() < deadline
        try:
            assert httpx.get(f"{url}/readyz", timeout=10).status_code == 200
            return
        except httpx.TransportError:
            time.sleep(0.05)


@pytest.mark.slow
def test_a_closed_terminal_ends_it_and_a_gone_reader_does_not(store: Store) -> None:
    port = free_port()
    keeper, terminal = os.openpty()

    def take() -> None:
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "lens.serve", *words(store, f"port={port}")], cwd=ROOT, env=environment(),
        stdin=terminal, stdout=writing, stderr=terminal, start_new_session=True, preexec_fn=take,
    )  # fmt: skip
    os.close(terminal), os.close(writing)
    os.close(reading)  # nobody reads what it prints
    try:
        until_ready(f"http://127.0.0.1:{port}", process)
        below = psutil.Process(process.pid).children(recursive=True)
        os.close(keeper)
        assert process.wait(40) == 0
        assert not psutil.wait_procs(below, 10)[1]
    finally:
        process.kill()


@pytest.mark.slow
def test_connections_that_say_nothing_are_closed(store: Store, tmp_path: Path) -> None:
    with serving(tmp_path / "log", *words(store, "seconds=2")) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
        for number, one in enumerate(silent):
            one.settimeout(20)
            one.sendall(b"GET / HTTP/1.1\r\nHost: x" if number % 2 else b"")
        with httpx.Client() as client:
            for _ in range(20):  # one that asks is left alone
                assert client.get(f"{server.url}/healthz").status_code == 200
                time.sleep(0.2)
        for one in silent:
            assert one.recv(1000) == b"" or one.recv(1000) == b""
            one.close()


@pytest.mark.slow
def test_one_that_only_dies_is_given_up(store: Store, tmp_path: Path) -> None:
    server = Server(tmp_path / "log", *words(store))
    try:
        deadline = time.monotonic() + 90
        while server.process.poll() is None:
            assert time.monotonic() < deadline, server.output
            for child in psutil.Process(server.process.pid).children():
                try:
                    if "spawn_main" in " ".join(child.cmdline()):
                        child.kill()
                except psutil.NoSuchProcess:
                    continue
            time.sleep(0.05)
        assert server.process.returncode == 1
        assert "died 5 times before it was ready" in server.output and "Traceback" not in server.output
    finally:
        server.kill()


@pytest.mark.slow
def test_one_broken_index_does_not_end_the_others(store: Store, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("whole", "broken")]
    for folder, model in zip(folders, ("resnet_tiny", "vit_tiny"), strict=True):
        shutil.copytree(store.index(model), folder)
    words = (f"uri={store.uri}", f"index=[{folders[0]},{folders[1]}]", "decoders=1")
    with serving(tmp_path / "log", *words) as server:
        answering = server.children()
        (folders[1] / "vectors.npy").write_bytes(b"")
        chosen = [psutil.Process(pid) for pid in answering]
        for one in [one for one in chosen if "resource_tracker" not in " ".join(one.cmdline())]:
            with suppress(psutil.NoSuchProcess):  # the first one's end may be that of the others
                one.kill()
        deadline = time.monotonic() + 120
        while "left out" not in server.output:
            assert server.process.poll() is None and time.monotonic() < deadline, server.output
            time.sleep(0.2)
        told = httpx.get(f"{server.url}/api/models", timeout=90).json()["models"]
        assert [one["name"] for one in told] == ["resnet_tiny"]
