"""Where catalogues come from: a folder, a manifest, Fashion-MNIST, the rendered shoes. One table from all of them."""

import gzip
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from PIL import Image

from lens.data.catalogue import COLUMNS, Catalogue, FileOpener
from lens.data.manifest import Columns, Fields, manifest_fields
from lens.errors import LensError
from lens.files import at_home

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
FASHION_MNIST_SHOES = ("Sandal", "Sneaker", "Ankle boot")


def read_folder(root: str | os.PathLike[str]) -> Catalogue:
    """The images under `root/<category>/`, at any depth below the category's folder.

    Links to folders are followed. Hidden files, files of other types, and images that lie directly in `root` are
    left out; how many is logged as a warning. Bytes of a name that are not UTF-8 are written as \\xNN; such a file is
    then one that cannot be read.

    Raises:
        LensError: where the folder is missing, or holds no image inside a category folder.
    """
    root = at_home(root)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise LensError(f"The image folder {root} {what}; data.root must be a folder of category folders.")
    paths: list[str] = []
    ignored: Counter[str] = Counter()
    for file in _files_below(root):
        kind = _kind(file)
        if kind == "image":
            paths.append(os.fsencode(file).decode(errors="backslashreplace"))
        else:
            ignored[kind] += 1
    if not paths:
        if ignored["images outside a category folder"]:
            raise LensError(
                f"{root} holds {ignored['images outside a category folder']} images but no category folders with "
                "images; move them to one folder per category, as in sneaker/1.jpg."
            )
        raise LensError(f"There are no images below {root}; known types are {', '.join(IMAGE_SUFFIXES)}.")
    for kind, count in sorted(ignored.items()):
        log.warning("%s: %d %s ignored.", root, count, kind)
    paths.sort()
    table = _table({"path": paths, "category": [path.split("/")[0] for path in paths]})
    return Catalogue(table, FileOpener(root, tuple(paths)), f"folder {root.name}", root)


def read_manifest(
    path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None, columns: Columns | None = None
) -> Catalogue:
    """A CSV, TSV or Parquet file with one row per image.

    Columns: `path`, `category`; optional `item_id`, `product_id`, `caption` (also `captions`; text, or a list of
    texts in Parquet), `split` (train, val or validation, test), `role` (query, gallery). `columns` gives other
    names, {"category": "articleType"}; for caption it may be a list of columns, one caption from each. All is read as
    text (007 stays 007), and further columns stay columns. Without a category the first folder of each path is taken.

    Relative paths start at `root`, or at the manifest's folder, or at `images` beside it: the first of these that
    has the most of the files. Single missing files are left to the check of all images before training.

    Raises:
        LensError: naming the file and the column or row, for whatever cannot be used.
    """
    path = at_home(path)
    fields = manifest_fields(path, columns)
    base, relative = _locate(path, None if root is None else at_home(root), list(fields["path"]))
    fields["path"] = relative
    if "category" not in fields:
        flat = [item for item in relative if "/" not in item]
        if flat:
            raise LensError(
                f"{path} has no column 'category', and the path {flat[0]!r} has no folder to take it from; "
                "add the column or name it by data.columns.category."
            )
        log.info("%s has no column 'category': the first folder of each path is used.", path)
        fields["category"] = [item.split("/")[0] for item in relative]
    table = _table(fields)
    return Catalogue(table, FileOpener(base, tuple(table["path"])), f"manifest {path.name}", base)


def read_fashion_mnist(root: str | os.PathLike[str], shoes_only: bool = False) -> Catalogue:
    """Fashion-MNIST (Xiao et al. 2017) with its official train and test sides; 28 x 28 grey images.

    Args:
        root: the folder that holds FashionMNIST/raw with the four official idx files, packed (.gz) or not.
        shoes_only: only sandals, sneakers and ankle boots.
    """
    root = at_home(root)
    raw = next(
        (folder for folder in (root / "FashionMNIST" / "raw", root / "raw", root) if _idx(folder)), None
    )
    if raw is None:
        raise LensError(
            f"Fashion-MNIST was not found: expected the four files train-images-idx3-ubyte.gz, "
            f"train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz in "
            f"{root / 'FashionMNIST' / 'raw'}."
        )
    images = np.concatenate([_read_idx(raw, f"{part}-images-idx3-ubyte", 3) for part in ("train", "t10k")])
    labels = [_read_idx(raw, f"{part}-labels-idx1-ubyte", 1) for part in ("train", "t10k")]
    sides = ["train"] * len(labels[0]) + ["test"] * len(labels[1])
    numbers = [*range(len(labels[0])), *range(len(labels[1]))]
    category = np.array(FASHION_MNIST_CLASSES, dtype=object)[np.concatenate(labels)]
    if len(images) != len(category):
        raise LensError(f"{raw} holds {len(images)} images but {len(category)} labels; fetch its files anew.")
    paths = [f"{side}/{number:05d}" for side, number in zip(sides, numbers, strict=True)]
    catalogue = Catalogue(
        _table({"path": paths, "category": list(category), "split": sides}),
        ArrayOpener(images),
        "fashion_mnist",
    )
    return (
        catalogue.subset(np.flatnonzero(np.isin(category, FASHION_MNIST_SHOES))) if shoes_only else catalogue
    )


def read_rendered(
    root: str | os.PathLike[str],
    items: int,
    views_per_product: int = 3,
    render_size: int = 128,
    render_seed: int = 0,
) -> Catalogue:
    """The built-in catalogue of procedural shoes, drawn into `root` unless it is there already."""
    from lens.data.rendered import write_catalogue

    manifest = write_catalogue(
        Path(root),
        items=items,
        views_per_product=views_per_product,
        size=render_size,
        seed=render_seed,
    )
    return read_manifest(manifest)


@dataclass(frozen=True)
class ArrayOpener:
    """Opens row i as images[i]; images: uint8 [N, height, width]."""

    images: np.ndarray

    def __call__(self, row: int) -> Image.Image:
        return Image.fromarray(self.images[row]).convert("RGB")


def _table(fields: Fields) -> pd.DataFrame:
    """The table of a catalogue from the columns a source has; the others get their defaults, further ones follow."""
    paths = fields["path"]
    ids = fields.get("item_id", paths)
    products = [product or item for product, item in zip(fields.get("product_id", ids), ids, strict=True)]
    defaults = {"captions": [[] for _ in paths], "split": [""] * len(paths), "role": [""] * len(paths)}
    table = pd.DataFrame({**defaults, **fields, "item_id": ids, "product_id": products})
    return table[[*COLUMNS, *(name for name in fields if name not in COLUMNS)]]


def _files_below(root: Path) -> Iterator[PurePosixPath]:
    """Paths relative to root. Folders reached through links are entered, but none of its own parents again."""
    for folder, folders, files in os.walk(root, followlinks=True):
        here = os.path.realpath(folder)
        inside = [name for name in folders if not _leads_up(os.path.join(folder, name), here)]
        folders[:] = sorted(inside)
        for name in files:
            yield PurePosixPath(Path(folder, name).relative_to(root).as_posix())


def _leads_up(folder: str, here: str) -> bool:
    return os.path.islink(folder) and f"{here}/".startswith(f"{os.path.realpath(folder)}/")


def _kind(file: PurePosixPath) -> str:
    if any(part.startswith(".") for part in file.parts):
        return "hidden files"
    if file.suffix.lower() not in IMAGE_SUFFIXES:
        return "files that are no images by their name"
    return "image" if len(file.parts) > 1 else "images outside a category folder"


def _locate(manifest: Path, root: Path | None, paths: list[str]) -> tuple[Path, list[str]]:
    """The folder the paths start from, and the paths relative to it."""
    if root is not None and not root.is_dir():
        raise LensError(f"The image folder {root} (data.root) does not exist.")
    if any(os.path.isabs(item) for item in paths):
        absolute = [os.path.normpath(manifest.parent.absolute() / item) for item in paths]
        top = Path(os.path.commonpath([os.path.dirname(item) for item in absolute]))
        # One folder up where all files lie in one, so that the folder's name is kept as part of the paths.
        top = top if any(Path(item).parent != top for item in absolute) else top.parent
        bases, paths = [top], [Path(item).relative_to(top).as_posix() for item in absolute]
    else:
        bases = [base for base in (root, manifest.parent, manifest.parent / "images") if base is not None]
    missing = [[item for item in paths if not (base / item).is_file()] for base in bases]
    best = min(range(len(bases)), key=lambda number: len(missing[number]))
    if len(missing[best]) == len(paths):
        tried = " or ".join(str(base) for base in bases)
        raise LensError(
            f"None of the {len(paths)} images of {manifest} exists below {tried}, the first is {paths[0]!r}; "
            "set data.root to the folder the paths start from."
        )
    return bases[best], paths


def _idx(folder: Path) -> bool:
    return any((folder / f"train-images-idx3-ubyte{suffix}").is_file() for suffix in ("", ".gz"))


def _read_idx(folder: Path, name: str, dimensions: int) -> np.ndarray:
    """uint8 array of an idx file: two zero bytes, type 8 (unsigned byte), dimensions, each size as big-endian int32."""
    file = folder / name
    try:
        data = file.read_bytes() if file.is_file() else gzip.decompress((folder / f"{name}.gz").read_bytes())
        head = 4 + 4 * dimensions
        shape = np.frombuffer(data[4:head], dtype=">i4")
        if data[:4] != bytes((0, 0, 8, dimensions)):
            raise ValueError("its first bytes are not those of an idx file")
        return np.frombuffer(data[head:], dtype=np.uint8).reshape(shape)
    except (OSError, EOFError, ValueError) as error:
        raise LensError(f"Fashion-MNIST file {file} cannot be read: {error}.") from error
