"""Where catalogues come from: a folder, a manifest, Fashion-MNIST, the rendered shoes. One table from all of them."""

import difflib
import gzip
import logging
import os
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from lens.data.catalogue import COLUMNS, Catalogue, FileOpener
from lens.errors import LensError

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

Columns = Mapping[str, str | list[str] | None]
_DEFAULT_NAMES: dict[str, tuple[str, ...]] = {
    "path": ("path",),
    "category": ("category",),
    "item_id": ("item_id",),
    "product_id": ("product_id",),
    "caption": ("caption", "captions"),
    "split": ("split",),
    "role": ("role",),
}
_SPLITS = {"": "", "train": "train", "val": "val", "validation": "val", "test": "test"}
_ROLES = {"": "", "query": "query", "gallery": "gallery"}

Fields = dict[str, list[Any]]  # cells are str, and lists of str for captions


def read_folder(root: str | os.PathLike[str]) -> Catalogue:
    """The images under `root/<category>/`, at any depth below the category's folder.

    Links to folders are followed. Hidden files, files of other types, and images that lie directly in `root` are
    left out; how many is logged as a warning.

    Raises:
        LensError: where the folder is missing, or holds no image inside a category folder.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise LensError(f"The image folder {root} {what}; data.root must be a folder of category folders.")
    paths: list[str] = []
    ignored: Counter[str] = Counter()
    for file in _files_below(root):
        kind = _kind(file)
        if kind == "image":
            paths.append(str(file))
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
    _refuse_odd_names(root, paths)
    table = _table({"path": paths, "category": [path.split("/")[0] for path in paths]})
    return Catalogue(table, FileOpener(root, tuple(paths)), f"folder {root.name}", root)


def read_manifest(
    path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None, columns: Columns | None = None
) -> Catalogue:
    """A CSV, TSV or Parquet file with one row per image.

    Columns: `path`, `category`; optional `item_id`, `product_id`, `caption` (also `captions`; text, or a list of
    texts in Parquet), `split` (train, val or validation, test), `role` (query, gallery). `columns` gives other
    names, {"category": "articleType"}; for caption it may be a list of columns, one caption from each. Everything is
    read as text, so an id 007 stays 007. Without a category column the first folder of each path is the category.

    Relative paths start at `root`, or at the manifest's folder, or at `images` beside it: the first of these that
    has the most of the files. Single missing files are left to the check of all images before training.

    Raises:
        LensError: naming the file and the column or row, for whatever cannot be used.
    """
    path = Path(path).expanduser()
    fields = _manifest_fields(path, columns)
    base, relative = _locate(path, None if root is None else Path(root).expanduser(), list(fields["path"]))
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
    root = Path(root).expanduser()
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
    """The table of a catalogue from the columns a source has; the others get their defaults."""
    paths = fields["path"]
    ids = fields.get("item_id", paths)
    products = [product or item for product, item in zip(fields.get("product_id", ids), ids, strict=True)]
    defaults = {"captions": [[] for _ in paths], "split": [""] * len(paths), "role": [""] * len(paths)}
    table = pd.DataFrame({**defaults, **fields, "item_id": ids, "product_id": products})
    return table[list(COLUMNS)]


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


def _refuse_odd_names(root: Path, paths: Sequence[str]) -> None:
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise LensError(f"The file name {path!r} below {root} is not UTF-8; please rename it.") from None


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


def _manifest_fields(path: Path, columns: Columns | None) -> Fields:
    """The known columns of a manifest, by the names of a catalogue's table; optional ones only where it has them.

    Raises:
        LensError: for a file that cannot be read, a column that is missing, and cells that cannot be used.
    """
    raw = _read_columns(path)
    names = _resolve(path, list(raw), columns or {})
    fields: Fields = {}
    for field, sources in names.items():
        if field == "caption":
            fields["captions"] = _captions(raw, sources)
        else:
            fields[field] = [_text(cell).strip() for cell in raw[sources[0]]]
    if not fields["path"]:
        raise LensError(f"{path} has no rows.")
    _check_filled(path, names, fields)
    fields["path"] = [posixpath.normpath(str(item)) for item in fields["path"]]
    for field in ("path", "item_id"):
        _check_unique(path, field, fields)
    for field, known in (("split", _SPLITS), ("role", _ROLES)):
        if field in fields:
            fields[field] = _known_values(path, names[field][0], fields[field], known)
    return fields


def _read_columns(path: Path) -> dict[str, list[object]]:
    if not path.is_file():
        raise LensError(
            f"The manifest {path} {'is a folder' if path.is_dir() else 'does not exist'} (data.path)."
        )
    kind = path.suffix.lower()
    try:
        if kind in (".parquet", ".pq"):
            # Through pyarrow, not pandas: whole numbers beside empty cells would become 7.0.
            table = pq.read_table(path)
            return {name: table.column(name).to_pylist() for name in table.column_names}
        if kind in (".csv", ".tsv"):
            separator = "," if kind == ".csv" else "\t"
            frame = pd.read_csv(
                path, sep=separator, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8-sig"
            )
            if not isinstance(frame.index, pd.RangeIndex):
                raise ValueError("its rows have more cells than its header")
            return {str(name): frame[name].fillna("").tolist() for name in frame.columns}
    except (ValueError, OSError, pa.ArrowException) as error:  # pandas' and Unicode errors are ValueErrors
        raise LensError(f"The manifest {path} cannot be read: {' '.join(str(error).split())}.") from error
    raise LensError(f"The manifest {path} must be a .csv, .tsv or .parquet file.")


def _resolve(path: Path, present: list[str], given: Columns) -> dict[str, list[str]]:
    """The manifest's own names for each field."""
    for field in given:
        if field not in _DEFAULT_NAMES:
            raise LensError(f"data.columns has no entry {field!r}{_nearest(field, list(_DEFAULT_NAMES))}.")
    names: dict[str, list[str]] = {}
    for field, defaults in _DEFAULT_NAMES.items():
        wanted = given.get(field)
        if wanted:
            names[field] = [wanted] if isinstance(wanted, str) else list(wanted)
            if field != "caption" and len(names[field]) != 1:
                raise LensError(f"data.columns.{field} must name one column; only caption may name several.")
        else:
            found = [name for name in defaults if name in present][:1]
            if found or field == "path":
                names[field] = found or ["path"]
    for field, sources in names.items():
        for name in sources:
            if name not in present:
                raise LensError(
                    f"The manifest {path} has no column {name!r}{_nearest(name, present)}; it has "
                    f"{', '.join(map(repr, present))}. Name another one by data.columns.{field}."
                )
    return names


def _nearest(name: str, known: list[str]) -> str:
    lowered = {item.lower(): item for item in known}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1)
    return f" (did you mean {lowered[close[0]]!r}?)" if close else ""


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def _captions(raw: dict[str, list[object]], sources: list[str]) -> list[list[str]]:
    """For each row the texts of all caption columns, in their order, without the empty ones."""
    rows = []
    for cells in zip(*(raw[name] for name in sources), strict=True):
        texts = [
            _text(text).strip() for cell in cells for text in (cell if isinstance(cell, list) else [cell])
        ]
        rows.append([text for text in texts if text])
    return rows


def _check_filled(path: Path, names: dict[str, list[str]], fields: Fields) -> None:
    for field in ("path", "category", "item_id"):
        empty = [number for number, cell in enumerate(fields.get(field, []), start=1) if not cell]
        if empty:
            shown = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
            raise LensError(
                f"{path}: column {names[field][0]!r} is empty in {len(empty)} rows: {shown} (1 is the first row below "
                "the header)."
            )


def _check_unique(path: Path, field: str, fields: Fields) -> None:
    cells = pd.Series(fields.get(field, []), dtype=object)
    twice = cells[cells.duplicated()]
    if len(twice):
        where = ", ".join(str(row + 1) for row in cells.index[cells == twice.iloc[0]][:5])
        raise LensError(
            f"{path}: {len(twice)} rows repeat the {field} of an earlier row, the first is {twice.iloc[0]!r} "
            f"(rows {where}); each must appear once."
        )


def _known_values(path: Path, column: str, cells: Sequence[object], known: dict[str, str]) -> list[str]:
    values = [known.get(str(cell).lower()) for cell in cells]
    if None in values:
        row = values.index(None)
        names = ", ".join(name for name in known if name)
        raise LensError(
            f"{path}: column {column!r} holds {str(cells[row])!r} in row {row + 1}; it must be {names} or empty."
        )
    return [value for value in values if value is not None]
