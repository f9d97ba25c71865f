"""The service under load: how fast it answers, and whether an answer is lost while it changes.

.venv/bin/python experiments/005-service-under-load/load.py --run RUN_ID --work FOLDER [--side 1600]

The service is a process of its own, so are the clients; each phase adds a row to results.csv. See README.md.
"""

import argparse
import csv
import http.client
import io
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lens.bulk.pieces import Look, pieces
from lens.bulk.source import read
from lens.data.images import load_rgb
from lens.index import load, open_index, write
from lens.serve.pictures import place_of
from lens.tracking import find_run, tracking_uri
from lens.trained import embedder_of, index_of

HERE = Path(__file__).parent
PORT, PICTURES, PROCESSES = 8137, 256, 2
COLUMNS = [
    "model", "pictures", "phase", "clients", "seconds", "answers", "errors", "wrong", "changes", "images_per_second",
    "p50_ms", "p99_ms", "longest_ms",
]  # fmt: skip
HEADERS = {"content-type": "multipart/form-data; boundary=part"}


def body(picture: bytes, fields: dict[str, str]) -> bytes:
    """A form with a picture."""
    form = '--part\r\ncontent-disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    parts = [form.format(name, value) for name, value in fields.items()]
    head = '--part\r\ncontent-disposition: form-data; name="image"; filename="photo"\r\n\r\n'
    return "".join([*parts, head]).encode() + picture + b"\r\n--part--\r\n"


def uploads(paths: list[Path], side: int) -> list[bytes]:
    """The pictures' files; with `side`, as a camera would send them: JPEG, as wide as that."""
    if not side:
        return [path.read_bytes() for path in paths]
    found = []
    for path in paths:
        picture = Image.fromarray(np.asarray(load_rgb(path)))
        written = io.BytesIO()
        picture.resize((side, side * picture.height // picture.width)).save(written, "JPEG", quality=85)
        found.append(written.getvalue())
    return found


def ask(
    bodies: list[bytes], ids: list[str], own: bool, first: int, until: float, told: list[tuple[float, str]]
) -> None:
    """One client: a picture after the other over one connection, until the time is up. Nothing is tried twice.

    Told are the milliseconds of each answer and what was wrong with it, "" where nothing. `own`: the picture's item
    has to be the first result.
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
            if len(results) != 10 or (own and results[0]["item_id"] != ids[number]):
                wrong = f"wrong {[one['item_id'] for one in results][:2]}"
        told.append(((time.perf_counter() - start) * 1000, wrong))


def crowd(bodies: list[bytes], ids: list[str], own: bool, clients: int, until: float, found: Any) -> None:
    """Several clients in one process."""
    told: list[tuple[float, str]] = []
    threads = [
        threading.Thread(target=ask, args=(bodies, ids, own, 37 * number, until, told))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.put(told)


class Service:
    """The service on an index folder, in a process of its own."""

    def __init__(self, index: Path, uri: str) -> None:
        command = [
            sys.executable,
            "-m",
            "lens.serve",
            f"index={index}",
            f"uri={uri}",
            f"port={PORT}",
            "refresh=0.5",
        ]
        self.process = subprocess.Popen(command, cwd=HERE.parents[1], stdout=subprocess.DEVNULL)
        while self.get("/readyz") is None:
            assert self.process.poll() is None, "the service ended"
            time.sleep(0.2)

    def get(self, address: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        try:
            connection.request("GET", address)
            answer = connection.getresponse()
            return json.loads(answer.read()) if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def answering(self) -> str:
        """The process that answers: the child that multiprocessing started last."""
        below = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return below[-1]


@contextmanager
def service(index: Path, uri: str) -> Iterator[Service]:
    started = Service(index, uri)
    try:
        yield started
    finally:
        started.process.send_signal(signal.SIGTERM)
        started.process.wait(60)


def swap(index: Path) -> Callable[[], None]:
    """Each call takes an item out of the index, puts it in again, or, every fifth time, writes the whole index anew."""
    made = load(index)
    last = made.items.iloc[[-1]].reset_index(drop=True)
    state = {"there": True, "calls": 0}

    def change() -> None:
        state["calls"] += 1
        with write(index) as writer:
            if state["there"]:
                writer.delete([last["item_id"][0]])
            else:
                writer.put(last, made.vectors[-1:])
            if state["calls"] % 5 == 0:
                writer.compact()
        state["there"] = not state["there"]

    return change


def phase(given: argparse.Namespace, bodies: list[bytes], ids: list[str], clients: int,
          change: Callable[[], None] | None = None, every: float = 1.0) -> dict[str, Any]:  # fmt: skip
    """Clients for some seconds, while `change` is called again and again."""
    context = multiprocessing.get_context("fork")
    found, until = context.Queue(), time.time() + given.seconds
    shares = [clients // PROCESSES + (number < clients % PROCESSES) for number in range(PROCESSES)]
    crowds = [
        context.Process(target=crowd, args=(bodies, ids, not given.side, share, until, found))
        for share in shares
        if share
    ]
    start, changes = time.time(), 0
    for one in crowds:
        one.start()
    while change is not None and time.time() < until - every:
        change()
        changes += 1
        time.sleep(every)
    told = [one for _ in crowds for one in found.get()]
    seconds = time.time() - start
    for one in crowds:
        one.join()
    for wrong in sorted({wrong for _, wrong in told if wrong})[:5]:
        print("   ", wrong)
    times = np.array([took for took, wrong in told if not wrong])
    return {
        "clients": clients, "seconds": round(seconds, 1), "answers": len(times),
        "errors": sum(wrong.startswith("error") for _, wrong in told),
        "wrong": sum(wrong.startswith("wrong") for _, wrong in told),
        "changes": changes, "images_per_second": round(len(times) / seconds, 1),
        "p50_ms": round(float(np.percentile(times, 50)), 1), "p99_ms": round(float(np.percentile(times, 99)), 1),
        "longest_ms": round(float(times.max()), 1),
    }  # fmt: skip


def offline(index: Path, uri: str, files: list[bytes], seconds: float, work: Path) -> dict[str, Any]:
    """The same files read and embedded as `python -m lens.index data=...` does, counted after the first batch."""
    folder = work / "photographs"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "shoe").mkdir(parents=True)
    for number, file in enumerate(files):
        (folder / "shoe" / f"{number:04d}.jpg").write_bytes(file)
    catalogue = read({"reader": "lens.data.sources.read_folder", "root": str(folder)})
    with open_index(index) as reader:
        embedder = embedder_of(uri, reader.manifest["run_id"])
    looks = [Look(number % len(files)) for number in range(200_000)]
    start, counted = 0.0, 0
    for piece in pieces(catalogue, looks, embedder.image_size, batch=32):
        import torch

        embedder.batch(torch.from_numpy(piece.pictures).permute(0, 3, 1, 2).to(torch.float32).div_(255))
        if start:
            counted += len(piece)
            if time.time() - start > seconds:
                break
        start = start or time.time()
    took = time.time() - start
    return {"clients": 0, "seconds": round(took, 1), "answers": counted, "errors": 0, "wrong": 0, "changes": 0,
            "images_per_second": round(counted / took, 1)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="a run, by its id or name")
    parser.add_argument("--uri", help="of the tracking store")
    parser.add_argument("--work", type=Path, required=True, help="a folder for copies")
    parser.add_argument(
        "--side", type=int, default=0, help="width of the pictures sent; 0: the catalogue's own files"
    )
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    uri = tracking_uri(given.uri)
    run_id = find_run(uri, "shopping-lens", given.run)
    index = given.work / "index"
    shutil.rmtree(index, ignore_errors=True)
    given.work.mkdir(parents=True, exist_ok=True)
    shutil.copytree(index_of(uri, run_id), index)
    made = load(index)
    random = np.random.default_rng(0)
    rows = np.sort(random.permutation(len(made.items) - 1)[:PICTURES])  # the last one comes and goes
    ids = [str(one) for one in made.items["item_id"].iloc[rows]]
    files = uploads(
        [place_of(made.manifest, item) for item in made.items.iloc[rows].to_dict("records")], given.side
    )
    bodies = [body(file, {"k": "10"}) for file in files]
    about = {
        "model": made.manifest["model"]["name"],
        "pictures": f"{given.side} px" if given.side else "catalogue",
    }
    size = np.mean([len(one) for one in files]) / 1000
    print(f"{about}, {len(made.items)} items, {len(files)} pictures of {size:.0f} kB")

    def row(name: str, told: dict[str, Any]) -> None:
        print(name, told, flush=True)
        path = HERE / "results.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if new:
                writer.writeheader()
            writer.writerow({**about, "phase": name, **told})

    row("offline", offline(index, uri, files, given.seconds, given.work))
    with service(index, uri) as running:
        phase(
            argparse.Namespace(**{**vars(given), "seconds": 3.0}), bodies, ids, 4
        )  # caches and code are warm
        row("one client", phase(given, bodies, ids, 1))
        row("crowd", phase(given, bodies, ids, given.clients))
        row("crowd, index changed", phase(given, bodies, ids, given.clients, swap(index)))

        def renew() -> None:
            before = running.answering()
            running.process.send_signal(signal.SIGHUP)
            while running.answering() == before or os.path.exists(f"/proc/{before}"):
                time.sleep(0.1)

        long = argparse.Namespace(**{**vars(given), "seconds": 2 * given.seconds})
        row("crowd, service renewed", phase(long, bodies, ids, given.clients, renew))
        row("one client, others ask why", explained(given, bodies, ids, files[0]))


def explained(
    given: argparse.Namespace, bodies: list[bytes], ids: list[str], picture: bytes
) -> dict[str, Any]:
    """Searches of one client, while another has one explanation after the other made; these are the changes counted."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    asked = body(picture, {"item": ids[1]})

    def why() -> None:
        connection.request("POST", "/api/explain", asked, HEADERS)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()

    return phase(given, bodies, ids, 1, why, every=0.001)


if __name__ == "__main__":
    main()
