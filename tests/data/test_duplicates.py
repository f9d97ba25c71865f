import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.data.duplicates import across_sides, connected, groups, near_duplicates
from lens.data.images import load_rgb
from lens.data.scan import perceptual_hash, scan
from lens.data.sources import read_folder

DATA = os.environ.get("LENS_TEST_DATA")


def _hashes(n: int, seed: int) -> list[bytes]:
    """Random hashes, most of them a few bits from an earlier one."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (n, 256), dtype=np.uint8)
    for row in range(1, n):
        if rng.random() < 0.7:
            bits[row] = bits[rng.integers(row)]
            bits[row, rng.integers(0, 256, rng.integers(0, 20))] ^= 1
    return [np.packbits(row).tobytes() for row in bits]


def _slow_pairs(digests: list[str], hashes: list[bytes], limit: int) -> list[tuple[int, int, int, bool]]:
    """All pairs, in order; for crowds of at most 64."""
    numbers = [int.from_bytes(phash, "big") for phash in hashes]
    return [
        (i, j, (numbers[i] ^ numbers[j]).bit_count(), digests[i] == digests[j])
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if digests[i] and digests[j] and (numbers[i] ^ numbers[j]).bit_count() <= limit
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 1000), st.integers(0, 30), st.integers(5, 100))
def test_the_pairs_of_the_slow_way(n: int, seed: int, limit: int, block: int) -> None:
    hashes = _hashes(n, seed)
    digests = ["" if row % 7 == 5 else f"d{row // 2}" for row in range(n)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lens.data.duplicates._BLOCK", block)  # many small blocks
        found = near_duplicates(digests, hashes, limit)
    assert list(found.itertuples(index=False, name=None)) == _slow_pairs(digests, hashes, limit)


@pytest.mark.parametrize("limit", [0, 1, 3, 12, 30])
@pytest.mark.parametrize("shared", [0, 1, 2])
def test_the_slow_way_with_clusters_and_bands_that_most_share(limit: int, shared: int) -> None:
    rng = np.random.default_rng(limit)
    bits = rng.integers(0, 2, (800, 256), dtype=np.uint8)
    bits[400:600] = bits[rng.integers(0, 5, 200)]  # five crowded clusters
    bits[600:] = bits[rng.integers(0, 400, 200)]  # many small ones
    for row in range(400, 800):  # at the limit, just inside and just outside
        changed = max(0, limit // (1 + row % 2) + rng.integers(-1, 2))
        bits[row, rng.choice(256, changed, replace=False)] ^= 1
    for band in range(min(shared, limit)):
        bits[: 600 + 100 * band, band :: limit + 1] = 0
    hashes = [np.packbits(row).tobytes() for row in bits]
    digests = [f"d{row // 2}" for row in range(800)]
    found = near_duplicates(digests, hashes, limit)
    assert list(found.itertuples(index=False, name=None)) == _slow_pairs(digests, hashes, limit)


@pytest.mark.parametrize("limit", [3, 12, 30])
def test_differences_of_every_place_are_found(limit: int) -> None:
    base = np.random.default_rng(0).integers(0, 2, 256, dtype=np.uint8)
    for distance, expected in ((limit, 1), (limit + 1, 0)):
        for start in range(256):
            other = base.copy()
            other[(start + np.arange(distance)) % 256] ^= 1
            pair = [np.packbits(base).tobytes(), np.packbits(other).tobytes()]
            assert len(near_duplicates(["1", "2"], pair, limit)) == expected


def test_any_distance_at_all() -> None:
    found = near_duplicates(["1", "2", "3"], [bytes(32), b"\xff" * 32, b"\x0f" * 32], 256)
    assert found["distance"].tolist() == [256, 128, 128]


def test_two_crowds_are_linked_by_their_first() -> None:
    a, b = bytes(32), bytes(31) + b"\x01"
    found = near_duplicates([f"{row}" for row in range(130)], [a] * 70 + [b] * 60)
    pairs = set(zip(found["i"], found["j"], strict=True))
    assert {pair for pair in pairs if pair[1] < 70} == {(0, row) for row in range(1, 70)}
    assert {pair for pair in pairs if pair[0] < 70 <= pair[1]} == {(0, 70)}
    assert len(pairs) == len(found) == 69 + 1 + 60 * 59 // 2


def test_the_planted_pairs_of_a_hundred_thousand_are_found() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (100_000, 32), dtype=np.uint8)
    hashes[50_000:60_000] = hashes[:10_000]
    hashes[50_000:55_000, 7] ^= 0b10101
    found = near_duplicates([str(row) for row in range(100_000)], [row.tobytes() for row in hashes])
    assert (found["j"] - found["i"] == 50_000).all()
    assert found["distance"].tolist() == [3] * 5000 + [0] * 5000


def test_a_crowd_of_equal_images_is_linked_not_multiplied() -> None:
    found = near_duplicates(["d"] * 5000, [bytes(32)] * 5000)
    assert len(found) == 4999
    assert found["identical"].all()
    assert (groups(found, 5000) == 0).all()


def test_across_sides_and_groups() -> None:
    a, b = bytes(32), bytes(31) + b"\x01"
    pairs = near_duplicates(["1", "2", "3", "4"], [a, b, b"\xff" * 32, a], 2)
    crossing = across_sides(pairs, np.array(["train", "train", "test", "test"]))
    assert crossing[["i", "j", "side_i", "side_j"]].values.tolist() == [
        [0, 3, "train", "test"],
        [1, 3, "train", "test"],
    ]
    assert groups(pairs, 4).tolist() == [0, 0, 2, 0]
    assert across_sides(near_duplicates([], []), np.array([])).empty


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.data())
def test_connected_components(n: int, data: st.DataObject) -> None:
    row = st.integers(0, n - 1)
    links = data.draw(st.lists(st.tuples(row, row), max_size=50))
    expected = list(range(n))
    for _ in range(n):
        for i, j in links:
            expected[i] = expected[j] = min(expected[i], expected[j])
    assert connected(np.array(links, dtype=np.int64).reshape(-1, 2), n).tolist() == expected


def test_a_long_chain_is_one_component() -> None:
    order = np.random.default_rng(0).permutation(20_000)
    assert (connected(np.stack([order[:-1], order[1:]], axis=1), 20_000) == 0).all()


@pytest.mark.skipif(DATA is None, reason="LENS_TEST_DATA does not name the folder of real photographs")
def test_copies_of_real_shoes_are_found_and_other_shoes_are_not(tmp_path: Path) -> None:
    images = read_folder(Path(str(DATA)) / "shoes" / "images")
    rows = np.linspace(0, len(images) - 1, 150).astype(int)
    originals, copies = [], []
    for row in rows:
        image = images.open_image(int(row))
        originals.append(perceptual_hash(image))
        file = tmp_path / "copy.jpg"
        image.resize((image.width // 2, image.height // 2)).save(file, quality=60)
        copies.append(perceptual_hash(load_rgb(file)))
    found = near_duplicates([str(n) for n in range(300)], originals + copies)
    pairs = set(zip(found["i"], found["j"], strict=True))
    assert {(n, n + 150) for n in range(150)} <= pairs
    assert len(pairs) <= 150 + 4


@pytest.mark.skipif(DATA is None, reason="LENS_TEST_DATA does not name the folder of real photographs")
def test_real_catalogue_has_its_identical_pairs() -> None:
    catalogue = read_folder(Path(str(DATA)) / "shoes" / "images")
    found = scan(catalogue, progress=False)
    pairs = near_duplicates(list(found["digest"]), list(found["phash"]))
    twice = pd.Series(found["digest"]).duplicated().sum()
    assert pairs["identical"].sum() == twice > 0
    assert len(pairs) < 150
