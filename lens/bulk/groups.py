"""Groups from the terminal: learn one from a few example images, and ask of images whether they are one of it."""

import csv
from pathlib import Path
from typing import Any

from PIL import Image
from rich import box
from rich.markup import escape
from rich.table import Table
from tqdm import tqdm

from lens.bulk.ask import searcher_of, wide_console
from lens.data.sources import IMAGE_SUFFIXES
from lens.errors import LensError
from lens.files import at_home, write_whole
from lens.search import Embedder, load_group, save_group
from lens.search.groups import MOST_EXAMPLES

_SHOWN = 20
_AT_ONCE = 16  # images held at a time: a large photograph takes 190 MB


def learn(config: dict[str, Any]) -> None:
    """examples= and group=: a group learned and saved. Raises LensError for unreadable or too many examples."""
    paths = images_of(config["examples"], "examples")
    if len(paths) > MOST_EXAMPLES:
        raise LensError(f"examples= names {len(paths)} images; a group has 1 to {MOST_EXAMPLES}.")
    target = at_home(config["group"])
    with searcher_of(config) as searcher:
        group = searcher.group(target.stem, [str(path) for path in paths])
    save_group(group, target)
    count = f"{group.examples} example{'s' * (group.examples != 1)}"
    print(f"{target}: the group {group.name!r} of {count}. Ask for it by group={target}.")


def classify(config: dict[str, Any]) -> None:
    """images= and group=: which of the images are one of the group; out= a CSV file of all.

    Images that cannot be read are told and left out. Raises LensError where none can be read.
    """
    group, paths = load_group(config["group"]), images_of(config["images"], "images")
    lines: list[dict[str, Any]] = []
    unreadable: list[str] = []
    with searcher_of(config) as searcher:
        searcher.check_group(group)
        embedder = searcher.embedder_for("image")
        starts = range(0, len(paths), _AT_ONCE)
        for start in tqdm(starts, unit="batch", disable=not config["progress"], leave=False):
            some, images = _opened(embedder, paths[start : start + _AT_ONCE], unreadable)
            if not images:
                continue
            vectors = embedder.images(images)
            cosines, probabilities = vectors @ group.prototype, group.probability(vectors)
            for place, inside in enumerate(group.contains(vectors)):
                about = {"image": str(some[place]), "in group": "yes" if inside else "no"}
                figures = {"cosine": float(cosines[place]), "probe": float(probabilities[place])}
                lines.append({**about, **{name: round(value, 4) for name, value in figures.items()}})
    if not lines:
        raise LensError(f"None of the {len(paths)} images can be read: {unreadable[0]}.")
    _print(group.name, group.threshold, lines)
    if unreadable:
        print(f"{len(unreadable)} images could not be read and are left out:")
        print("\n".join(f"  {reason}" for reason in unreadable[:_SHOWN]))
    if config["out"] is not None:
        _write(Path(config["out"]), lines)


def _opened(
    embedder: Embedder, paths: list[Path], unreadable: list[str]
) -> tuple[list[Path], list[Image.Image]]:
    """The images that can be read, and their paths; why others cannot is added to `unreadable`."""
    found: list[tuple[Path, Image.Image]] = []
    for path in paths:
        try:
            found.append((path, embedder.open(path)))
        except LensError as error:
            unreadable.append(str(error))
    return [path for path, _ in found], [image for _, image in found]


def images_of(given: str | list[str], key: str) -> list[Path]:
    """The images of a folder, or those named. Raises LensError where there is none."""
    several = [given] if isinstance(given, str) else given
    paths: list[Path] = []
    for name in several:
        path = at_home(name)
        if path.is_dir():
            inside = sorted(path.rglob("*"))
            paths += [
                one
                for one in inside
                if one.suffix.lower() in IMAGE_SUFFIXES and one.is_file() and not one.name.startswith(".")
            ]
        else:
            paths.append(path)
    if not paths:
        raise LensError(f"{key}={given}: there is no image in it.")
    return paths


def _print(name: str, threshold: float, lines: list[dict[str, Any]]) -> None:
    inside = sum(line["in group"] == "yes" for line in lines)
    title = f"{inside} of {len(lines)} images are of the group {name!r}"
    table = Table(title=escape(title), box=box.SIMPLE_HEAD)
    for heading in lines[0]:
        table.add_column(heading, overflow="fold")
    for line in sorted(lines, key=lambda one: -one["cosine"])[:_SHOWN]:
        table.add_row(*(escape(str(value)) for value in line.values()))
    if len(lines) > _SHOWN:
        table.caption = f"and {len(lines) - _SHOWN} more; out=FILE.csv writes all"
    console = wide_console()
    console.print(table)
    console.print(
        f"In the group from a cosine of {threshold:.4f} with its prototype; probe: the linear probe's probability.",
        highlight=False,
    )


def _write(path: Path, lines: list[dict[str, Any]]) -> None:
    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(lines[0]))
            table.writeheader()
            table.writerows(lines)

    try:
        write_whole(path, write)
    except OSError as error:
        raise LensError(f"out={path} cannot be written: {error.strerror or error}.") from error
