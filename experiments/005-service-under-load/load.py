"""The service under load: how fast it answers, and whether an answer is lost while it changes.

.venv/bin/python experiments/005-service-under-load/load.py --run RUN_ID --work FOLDER [--side 1600]

The service is a process of its own, so are the clients; each phase adds a row to results.csv. See README.md.
"""

import argparse
import csv
import io
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from changed import explain, renew, service, swap
from clients import body, phase
from PIL import Image

from lens.bulk.pieces import Look, pieces
from lens.bulk.source import read
from lens.data.images import load_rgb
from lens.index import load, open_index
from lens.serve.pictures import place_of
from lens.tracking import find_run, tracking_uri
from lens.trained import embedder_of, index_of

HERE = Path(__file__).parent
PICTURES = 256
COLUMNS = [
    "model", "pictures", "phase", "clients", "seconds", "answers", "errors", "wrong", "changes", "images_per_second",
    "p50_ms", "p99_ms", "longest_ms",
]  # fmt: skip


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
        embedder.batch(torch.from_numpy(piece.pictures).permute(0, 3, 1, 2).to(torch.float32).div_(255))
        if start:
            counted += len(piece)
            if time.time() - start > seconds:
                break
        start = start or time.time()
    took = time.time() - start
    return {"clients": 0, "seconds": round(took, 1), "answers": counted, "errors": 0, "wrong": 0, "changes": 0,
            "images_per_second": round(counted / took, 1)}  # fmt: skip


def write_row(about: dict[str, str], name: str, told: dict[str, Any]) -> None:
    """One phase, to the screen and to results.csv."""
    print(name, told, flush=True)
    path = HERE / "results.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow({**about, "phase": name, **told})


def settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="a run, by its id or name")
    parser.add_argument("--uri", help="of the tracking store")
    parser.add_argument("--work", type=Path, required=True, help="a folder for copies")
    parser.add_argument(
        "--side", type=int, default=0, help="width of the pictures sent; 0: the catalogue's own files"
    )
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=30.0)
    return parser.parse_args()


def main() -> None:
    given = settings()
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
    first = None if given.side else ids
    about = {
        "model": made.manifest["model"]["name"],
        "pictures": f"{given.side} px" if given.side else "catalogue",
    }
    size = np.mean([len(one) for one in files]) / 1000
    print(f"{about}, {len(made.items)} items, {len(files)} pictures of {size:.0f} kB")
    write_row(about, "offline", offline(index, uri, files, given.seconds, given.work))
    with service(index, uri) as running:
        phase(bodies, first, 4, 3.0)  # caches and code are warm
        write_row(about, "one client", phase(bodies, first, 1, given.seconds))
        write_row(about, "crowd", phase(bodies, first, given.clients, given.seconds))
        for name, change in (("index changed", swap(index)), ("service renewed", renew(running))):
            seconds = given.seconds * (2 if name == "service renewed" else 1)
            write_row(about, f"crowd, {name}", phase(bodies, first, given.clients, seconds, change))
        why = explain(files[0], ids[1])
        write_row(
            about, "one client, others ask why", phase(bodies, first, 1, given.seconds, why, every=0.001)
        )


if __name__ == "__main__":
    main()
