"""Judgements read from a file, matched with items or images, and what is said of those that cannot be used."""

import json
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lens.compare.triplets import (
    as_result,
    judge_triplets,
    match_triplets,
    print_triplets,
    read_triplets,
    triplet_catalogue,
)
from lens.errors import LensError
from lens.metrics.uncertainty import interval

EXAMPLE = Path(__file__).parents[2] / "examples" / "triplets"
VECTORS = np.array([[1, 0], [2, 0.1], [0, 1], [1, 0]])
ITEMS = pd.DataFrame(
    {"item_id": ["007", "b", "Stöckel", "d"], "path": ["x/1.jpg", "x/2.jpg", "鞋/3.jpg", "4"]}
)


def write(folder: Path, *lines: str, header: str = "anchor,closer,farther") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "triplets.csv"
    file.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return file


def table(*triplets: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(triplets, columns=["anchor", "closer", "farther"])


def picture(file: Path, colour: str = "red") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(file)


def test_text_stays_text_and_other_columns_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    lines = 'who,farther,anchor,closer\r\nme,NA, 007 ,"a,\nb"\r\n\r\nyou,NA,007,"a,\nb"\r\n'
    file.write_text("\ufeff" + lines, encoding="utf-8", newline="")
    read = read_triplets(file)
    assert read.to_numpy().tolist() == [["007", "a,\nb", "NA"]] * 2
    assert list(read) == ["anchor", "closer", "farther"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"anchor,closer\na,b\n", r"line 1 lacks the columns farther; it has 'anchor', 'closer'"),
        (b"anchor;closer;farther\na;b;c\n", "line 1 lacks the columns anchor, closer, farther"),
        (b"", "line 1 lacks .* it has none"),
        (b"anchor,closer,farther\n\n", "no rows"),
        (b"anchor,closer,farther\na,b,c\n\na, ,c\n", "line 4 has no closer"),
        (b"anchor,closer,farther\na,b\n", "line 2 has 2 cells, the header 3"),
        (b"anchor,closer,farther\na,b,c,d\n", "line 2 has 4 cells"),
        (b"anchor,closer,farther\na,b,\xff\n", "UTF-8"),
        (b'anchor,closer,farther\na,b,"c\n', "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(content)
    with pytest.raises(LensError, match=rf"t\.csv.*{reason}"):
        read_triplets(file)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(LensError, match="does not exist"):
        read_triplets(tmp_path / "none.csv")
    with pytest.raises(LensError, match="is a folder"):
        read_triplets(tmp_path)


def test_items_are_found_by_id_first_and_then_by_path() -> None:
    triplets = table(("007", "x/2.jpg", "Stöckel"), ("./鞋//3.jpg", "4", "d2"), ("d", "b", "鞋/3.jpg"))
    items = [*ITEMS["item_id"], "4"]  # an id that is also the path of another item
    found = match_triplets(triplets, items, [*ITEMS["path"], "5.jpg"])
    assert found.rows.tolist() == [[0, 1, 2], [3, 1, 2]]
    assert (found.missing, found.missing_triplets, found.same_item) == (("d2",), 1, 0)
    found = match_triplets(table(("4", "b", "007")), items, [*ITEMS["path"], "5.jpg"])
    assert found.rows.tolist() == [[4, 1, 0]]


def test_an_item_that_stands_twice_is_left_out_under_any_name() -> None:
    triplets = table(("b", "d", "d"), ("b", "x/2.jpg", "d"), ("b", "d", "b"), ("b", "d", "007"))
    found = match_triplets(triplets, ITEMS["item_id"], ITEMS["path"])
    assert found.rows.tolist() == [[1, 3, 0]]
    assert (found.missing, found.missing_triplets, found.same_item) == ((), 0, 3)


@pytest.mark.parametrize(
    ("triplets", "reason"),
    [
        (
            [("p", "q", "r")] * 2,
            "None of the 2 triplets .* 2 name items .*'p', 'q', 'r'.* such as '007' and 3 more",
        ),
        (
            [("b", "d", "d"), ("b", "d", "no")],
            r"1 name items that are missing \('no'\), 1 name an item twice",
        ),
        ([("b", "d", "d")], r"0 name items that are missing \(none\)"),
    ],
)
def test_nothing_to_judge_is_a_mistake(triplets, reason) -> None:
    with pytest.raises(LensError, match=reason):
        match_triplets(table(*triplets), ITEMS["item_id"].tolist(), ITEMS["path"].tolist())


def test_a_path_of_two_items_must_not_be_named() -> None:
    found = match_triplets(table(("a", "b", "c")), ["a", "b", "c"], ["1.jpg", "1.jpg", "1.jpg"])
    assert found.rows.tolist() == [[0, 1, 2]]
    with pytest.raises(LensError, match="'1.jpg', which 2 items have"):
        match_triplets(table(("1.jpg", "b", "c")), ["a", "b", "c"], ["1.jpg", "1.jpg", "2.jpg"])


def test_judged_by_hand_with_ties_repeats_and_what_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    triplets = table(
        ("007", "b", "Stöckel"),  # right
        ("007", "b", "Stöckel"),  # said twice
        ("007", "Stöckel", "b"),  # someone else disagrees
        ("b", "007", "d"),  # 007 and d are one picture: a tie
        ("b", "d", "d"),
        ("b", "[red]gone", "d"),
    )
    report = judge_triplets(VECTORS, ITEMS, triplets)
    assert report.per_triplet.tolist() == [1, 1, 0, 0.5]
    assert report.agreement == interval(np.array([1, 1, 0, 0.5]), np.array([0, 0, 0, 1]))
    assert (report.agreement.mean, report.agreement.queries, report.agreement.clusters) == (0.625, 4, 2)
    result = json.loads(json.dumps(as_result(report, source="v.npy")))
    assert result["triplet_agreement"] == 0.625 and result["low"] == report.agreement.low
    counts = ["triplets", "anchors", "ties", "missing_items"]
    assert [result[name] for name in counts] == [4, 2, 1, 1]
    assert result["triplets_with_missing_items"] == result["triplets_with_one_item_twice"] == 1
    assert result["source"] == "v.npy"
    print_triplets("v.npy", report)
    printed = capsys.readouterr().out
    assert "0.6250" in printed and f"{report.agreement.high:.4f}" in printed
    assert "for missing items: 1; missing are '[red]gone'." in printed and "an item twice: 1." in printed


def test_items_without_paths() -> None:
    report = judge_triplets(VECTORS, ITEMS[["item_id"]], table(("007", "b", "Stöckel")))
    assert report.agreement.mean == 1
    with pytest.raises(LensError, match="missing"):
        judge_triplets(VECTORS, ITEMS[["item_id"]], table(("x/1.jpg", "x/2.jpg", "4")))


def test_images_are_found_beside_the_file_and_then_below_the_root(tmp_path: Path) -> None:
    file = write(
        tmp_path / "judged",
        "鞋/ä 1.jpg,b.jpg,./c.jpg",
        "c.jpg,b.jpg,gone.jpg",
        f"{tmp_path / 'shop' / 'b.jpg'},c.jpg,鞋/ä 1.jpg",
    )
    picture(tmp_path / "judged" / "鞋" / "ä 1.jpg", "blue")
    picture(tmp_path / "judged" / "c.jpg", "lime")
    picture(tmp_path / "shop" / "c.jpg", "black")  # the one beside the file is meant
    picture(tmp_path / "shop" / "b.jpg", "red")
    catalogue, triplets = triplet_catalogue(file, tmp_path / "shop")
    assert catalogue.table["item_id"].tolist() == ["鞋/ä 1.jpg", "b.jpg", "./c.jpg"]
    assert catalogue.table["path"].tolist() == ["judged/鞋/ä 1.jpg", "shop/b.jpg", "judged/c.jpg"]
    assert catalogue.root == tmp_path
    colours = [catalogue.open_image(row).getpixel((4, 4)) for row in range(3)]
    assert [int(np.argmax(colour)) for colour in colours] == [2, 0, 1]
    matched = match_triplets(triplets, catalogue.table["item_id"])
    assert matched.rows.tolist() == [[0, 1, 2], [1, 2, 0]]
    assert (matched.missing, matched.missing_triplets) == (("gone.jpg",), 1)


def test_images_that_are_all_missing_end_it_before_embedding(tmp_path: Path) -> None:
    file = write(tmp_path, "a.jpg,b.jpg,c.jpg")
    with pytest.raises(LensError, match=r"None of the 3 images .* 'a.jpg'"):
        triplet_catalogue(file)
    picture(tmp_path / "a.jpg")
    with pytest.raises(LensError, match="None of the 1 triplets"):
        triplet_catalogue(file)
    with pytest.raises(LensError, match="data.root"):
        triplet_catalogue(file, tmp_path / "nowhere")


def test_the_shipped_example_is_what_its_script_draws(tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLE / "make.py"))["main"](tmp_path)
    assert (tmp_path / "triplets.csv").read_bytes() == (EXAMPLE / "triplets.csv").read_bytes()
    catalogue, triplets = triplet_catalogue(EXAMPLE / "triplets.csv")
    fresh, _ = triplet_catalogue(tmp_path / "triplets.csv")
    assert len(catalogue) == 12 and list(catalogue.table["path"]) == list(fresh.table["path"])
    for row in range(12):
        shipped, drawn = (np.asarray(each.open_image(row), dtype=float) for each in (catalogue, fresh))
        assert shipped.shape == (96, 96, 3)
        assert np.abs(shipped - drawn).mean() < 2  # another JPEG library may round otherwise
    assert sum(file.stat().st_size for file in EXAMPLE.rglob("*")) < 200_000
    # Vectors that know the category, and a little of the product, agree with every judgement.
    kinds = np.unique([path.split("-")[0] for path in catalogue.table["path"]], return_inverse=True)[1]
    product = np.unique([path.rsplit("-", 1)[0] for path in catalogue.table["path"]], return_inverse=True)[1]
    solved = judge_triplets(np.hstack([3 * np.eye(3)[kinds], np.eye(6)[product]]), catalogue.table, triplets)
    assert (solved.agreement.mean, solved.agreement.queries, solved.agreement.clusters) == (1, 60, 12)
