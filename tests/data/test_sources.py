import gzip
import logging
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lens.data.catalogue import COLUMNS
from lens.data.sources import FASHION_MNIST_CLASSES, read_fashion_mnist, read_folder, read_manifest
from lens.errors import LensError

DATA = os.environ.get("LENS_TEST_DATA")
needs_data = pytest.mark.skipif(
    DATA is None, reason="LENS_TEST_DATA does not name the folder of real photographs"
)


def _images(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), "red").save(root / path)
    return root


def _manifest(root: Path, text: str) -> Path:
    _images(root, "boots/1.png", "boots/2.png", "heels/3.png")
    (root / "items.csv").write_text(text)
    return root / "items.csv"


def test_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _images(
        tmp_path,
        "boots/b.JPG",
        "boots/winter/deep/a.png",
        "heels/c.WebP",
        "loose.png",
        "heels/.d.png",
        ".x/e.png",
    )
    (tmp_path / "heels" / "notes.txt").touch()
    with caplog.at_level(logging.WARNING):
        catalogue = read_folder(tmp_path)
    assert list(catalogue.table.columns) == list(COLUMNS)
    assert list(catalogue.table["item_id"]) == ["boots/b.JPG", "boots/winter/deep/a.png", "heels/c.WebP"]
    assert list(catalogue.table["category"]) == ["boots", "boots", "heels"]
    assert (catalogue.table["product_id"] == catalogue.table["item_id"]).all()
    assert list(catalogue.table["captions"]) == [[], [], []]
    assert catalogue.open_image(1).size == (4, 3)
    assert "2 hidden files ignored" in caplog.text
    assert "1 images outside a category folder ignored" in caplog.text
    assert "1 files that are no images by their name ignored" in caplog.text


def test_folder_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    _images(tmp_path, "store/x/1.png", "shop/heels/2.png")
    (tmp_path / "shop" / "boots").symlink_to(tmp_path / "store" / "x")
    (tmp_path / "shop" / "heels" / "again").symlink_to(tmp_path / "shop")
    assert list(read_folder(tmp_path / "shop").table["item_id"]) == ["boots/1.png", "heels/2.png"]


def test_folders_that_are_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(LensError, match="nowhere does not exist"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(LensError, match="no images below"):
        read_folder(tmp_path)
    _images(tmp_path, "1.png", "2.png")
    with pytest.raises(LensError, match="holds 2 images but no category folders"):
        read_folder(tmp_path)
    with pytest.raises(LensError, match="is a file"):
        read_folder(tmp_path / "1.png")


def test_manifest_with_all_columns_keeps_text_as_text(tmp_path: Path) -> None:
    path = _manifest(
        tmp_path,
        "path,category,product_id,caption,split,role,item_id\n"
        'boots/1.png, NA ,007,"red, high",train,,01\n'
        "./boots/2.png,nan,007,,Validation,query,1\n"
        "heels/3.png,heels,,null,test,Gallery,1.0\n",
    )
    table = read_manifest(path).table
    assert list(table["path"]) == ["boots/1.png", "boots/2.png", "heels/3.png"]
    assert list(table["category"]) == ["NA", "nan", "heels"]
    assert list(table["product_id"]) == ["007", "007", "1.0"]
    assert list(table["captions"]) == [["red, high"], [], ["null"]]
    assert list(table["split"]) == ["train", "val", "test"]
    assert list(table["role"]) == ["", "query", "gallery"]
    assert list(table["item_id"]) == ["01", "1", "1.0"]


def test_parquet_with_lists_of_captions_and_numbers(tmp_path: Path) -> None:
    _images(tmp_path, "boots/1.png", "heels/3.png")
    frame = pd.DataFrame({"path": ["boots/1.png", "heels/3.png"], "category": ["boots", "heels"]})
    frame["captions"] = [["a", "b"], []]
    frame["product_id"] = pd.array([7, None], dtype="Int64")
    frame.to_parquet(tmp_path / "items.parquet")
    table = read_manifest(tmp_path / "items.parquet").table
    assert list(table["captions"]) == [["a", "b"], []]
    assert list(table["product_id"]) == ["7", "heels/3.png"]


def test_other_column_names_and_several_captions(tmp_path: Path) -> None:
    path = _manifest(
        tmp_path, "file,type,title,usage\nboots/1.png,Boot,Red boot,Work\nheels/3.png,Heel,,Party\n"
    )
    columns = {"path": "file", "category": "type", "caption": ["title", "usage"]}
    table = read_manifest(path, columns=columns).table
    assert list(table["category"]) == ["Boot", "Heel"]
    assert list(table["captions"]) == [["Red boot", "Work"], ["Party"]]


def test_paths_from_root_the_file_or_images_beside_it(tmp_path: Path) -> None:
    _images(tmp_path / "store", "boots/1.png")
    (tmp_path / "lists").mkdir()
    path = tmp_path / "lists" / "items.csv"
    path.write_text("path\nboots/1.png\n")
    with pytest.raises(LensError, match=r"None of the 1 images .*first is 'boots/1.png'; set data.root"):
        read_manifest(path)
    catalogue = read_manifest(path, root=tmp_path / "store")
    assert catalogue.root == tmp_path / "store"
    assert list(catalogue.table["category"]) == ["boots"]
    _images(tmp_path / "lists" / "images", "boots/1.png")
    assert read_manifest(path).root == tmp_path / "lists" / "images"
    with pytest.raises(LensError, match="data.root"):
        read_manifest(path, root=tmp_path / "no")


def test_absolute_paths_become_relative(tmp_path: Path) -> None:
    path = _manifest(tmp_path, f"path\n{tmp_path}/boots/1.png\n{tmp_path}/heels/3.png\n")
    catalogue = read_manifest(path)
    assert list(catalogue.table["path"]) == ["boots/1.png", "heels/3.png"]
    assert catalogue.open_image(1).size == (4, 3)
    path.write_text(f"path\n{tmp_path}/boots/1.png\n{tmp_path}/boots/2.png\n")
    assert list(read_manifest(path).table["category"]) == ["boots", "boots"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,category\nboots/1.png,a\nboots/./1.png,a\n", r"repeat the path .*'boots/1.png' \(rows 1, 2\)"),
        (
            "path,category\nboots/1.png,a\nboots/2.png,\nheels/3.png, \n",
            "'category' is empty in 2 rows: 2, 3",
        ),
        ("path,category\n,a\n", "'path' is empty in 1 rows: 1"),
        ("Paths,category\nboots/1.png,a\n", "no column 'path' .did you mean 'Paths'.*'category'"),
        ("path,category,split\nboots/1.png,a,trian\n", "'split' holds 'trian' in row 1; it must be train"),
        ("path,category,role\nboots/1.png,a,quary\n", "'role' holds 'quary'"),
        ("path,category,item_id\nboots/1.png,a,x\nboots/2.png,a,x\n", "repeat the item_id"),
        ("path,category\nboots/1.png,a,b,c\n", "more cells than its header"),
        ("path,category\n", "has no rows"),
        ("", "cannot be read"),
        ("path\n1.png\n", "None of the 1 images"),
    ],
)
def test_manifests_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(LensError, match=message):
        read_manifest(_manifest(tmp_path, text))


def test_more_manifests_that_cannot_be_used(tmp_path: Path) -> None:
    path = _manifest(tmp_path, "path,articleType\nboots/1.png,a\n")
    with pytest.raises(LensError, match="no column 'articeType' .did you mean 'articleType'"):
        read_manifest(path, columns={"category": "articeType"})
    with pytest.raises(LensError, match="no entry 'captoin' .did you mean 'caption'"):
        read_manifest(path, columns={"captoin": "x"})
    with pytest.raises(LensError, match="does not exist"):
        read_manifest(tmp_path / "no.csv")
    (tmp_path / "items.parquet").write_bytes(b"nonsense")
    with pytest.raises(LensError, match="cannot be read"):
        read_manifest(tmp_path / "items.parquet")
    (tmp_path / "items.xlsx").touch()
    with pytest.raises(LensError, match="must be a .csv"):
        read_manifest(tmp_path / "items.xlsx")
    (tmp_path / "items.csv").write_bytes("path,category\nboots/1.png,é\n".encode("latin-1"))
    with pytest.raises(LensError, match="cannot be read"):
        read_manifest(tmp_path / "items.csv")


def _idx(values: np.ndarray) -> bytes:
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}i", *values.shape) + values.tobytes()


def _fashion_mnist(root: Path, packed: bool) -> np.ndarray:
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (15, 28, 28), dtype=np.uint8)
    labels = (np.arange(15) % 10).astype(np.uint8)
    for part, rows in (("train", slice(0, 10)), ("t10k", slice(10, 15))):
        for name, values in (("images-idx3", images[rows]), ("labels-idx1", labels[rows])):
            data = _idx(values)
            suffix = ".gz" if packed else ""
            (raw / f"{part}-{name}-ubyte{suffix}").write_bytes(gzip.compress(data) if packed else data)
    return images


@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist(packed: bool, tmp_path: Path) -> None:
    images = _fashion_mnist(tmp_path, packed)
    catalogue = pickle.loads(pickle.dumps(read_fashion_mnist(tmp_path)))
    assert list(catalogue.table["split"]) == ["train"] * 10 + ["test"] * 5
    assert list(catalogue.table["category"][:10]) == list(FASHION_MNIST_CLASSES)
    assert catalogue.table["item_id"][12] == "test/00002"
    assert (np.asarray(catalogue.open_image(12)) == images[12, :, :, None]).all()
    shoes = read_fashion_mnist(tmp_path / "FashionMNIST", shoes_only=True)
    assert list(shoes.table["category"]) == ["Sandal", "Sneaker", "Ankle boot"]
    assert (np.asarray(shoes.open_image(2)) == images[9, :, :, None]).all()


def test_fashion_mnist_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(LensError, match=r"expected the four files .*FashionMNIST/raw"):
        read_fashion_mnist(tmp_path)
    _fashion_mnist(tmp_path, packed=True)
    file = tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(LensError, match="train-images-idx3-ubyte cannot be read"):
        read_fashion_mnist(tmp_path)


@needs_data
def test_real_fashion_mnist() -> None:
    table = read_fashion_mnist(str(DATA)).table
    assert table["split"].value_counts().to_dict() == {"train": 60000, "test": 10000}
    assert set(table["category"].value_counts()) == {7000}


@needs_data
def test_real_captions_are_read_as_they_are() -> None:
    shoes = Path(str(DATA)) / "shoes"
    catalogue = read_manifest(shoes / "captions.csv", columns={"caption": "title", "category": "articleType"})
    assert len(catalogue) == 7224
    first = catalogue.table.iloc[0]
    assert (first["category"], first["captions"]) == (
        "Sports Shoes",
        ["Reebok Men Speed Mode White Sports Shoes"],
    )
    assert catalogue.open_image(0).size == (120, 160)
    folder = read_folder(shoes / "images")
    assert set(folder.table["path"]) == set(catalogue.table["path"])
    by_folder = read_manifest(shoes / "captions.csv", root=shoes / "images", columns={"caption": "title"})
    assert by_folder.table["category"].value_counts()["sports-sandals"] == 52
