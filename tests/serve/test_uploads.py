"""Hostile and damaged uploads: each is answered, nothing is stored, nothing outside is read."""

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lens.data.images import fit_square, load_rgb
from lens.serve.decode import Decoders, sniffed
from lens.serve.problems import BadPicture
from lens.serve.settings import TYPES, Limits
from tests.serve.hostile import harmless, picture, refused
from tests.serve.store import Store

REFUSED, HARMLESS = dict(refused()), dict(harmless())


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    made = Decoders(Limits(seconds=20), 1)
    yield made
    made.close()


def test_the_corpus_is_large() -> None:
    assert len(REFUSED) + len(HARMLESS) >= 100


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_usable_picture_is_told_why(name: str, client: TestClient) -> None:
    answer = client.post("/api/search", files={"image": ("a.jpg", REFUSED[name], "image/jpeg")})
    assert answer.status_code == (413 if name == "larger than is taken" else 422), answer.text
    error = answer.json()["error"]
    assert error["kind"] == "upload" and len(error["sentence"]) > 15
    assert "Traceback" not in answer.text and str(Path.home()) not in answer.text
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_odd_but_a_picture_is_answered(name: str, client: TestClient) -> None:
    file = ("../../../etc/passwd", HARMLESS[name], "text/html")  # neither name nor type is believed
    answer = client.post("/api/search", files={"image": file}, data={"model": "resnet_tiny", "k": 3})
    assert answer.status_code == 200, answer.text
    assert answer.json()["count"] == 3


def test_nothing_is_stored(
    client: TestClient, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # other tests write into the one that all share
    monkeypatch.chdir(tmp_path)

    def files() -> set[str]:
        return {str(path) for folder in (store.folder, tmp_path) for path in folder.iterdir()}

    def open_files() -> set[
        str
    ]:  # one that is removed while it is open has no name, but a place in this list
        places = set()
        for number in os.listdir("/proc/self/fd"):
            try:
                places.add(os.readlink(f"/proc/self/fd/{number}"))
            except OSError:
                continue
        return {place for place in places if place.startswith(str(tmp_path))}

    photo, before, opened = picture("BMP", (1500, 1500)), files(), set()
    before_open, watching = open_files(), threading.Event()

    def watch() -> None:
        while not watching.wait(0.001):
            opened.update(open_files())

    thread = threading.Thread(target=watch)
    thread.start()
    for _ in range(5):
        assert client.post("/api/search", files={"image": photo}, data={"k": 1}).status_code == 200
    watching.set()
    thread.join()
    assert len(photo) > 6_000_000 and files() == before
    assert opened == before_open == set()


def test_a_picture_is_what_the_library_makes_of_it(decoders: Decoders) -> None:
    for kind in TYPES:
        whole = picture(kind, (90, 50))
        assert sniffed(whole) == kind
        expected = fit_square(load_rgb(whole, at_least=64), 64)
        assert (expected == decoders.square(whole, 64)).all()


def test_a_decoder_that_takes_too_long_or_too_much_ends_alone() -> None:
    large = HARMLESS["one colour, 36 million pixels"]
    hurried = Decoders(Limits(seconds=0.2), 1)
    try:
        with pytest.raises(BadPicture, match=r"takes more than 0\.\d+ s to decode"):
            hurried.square(large, 64)
    finally:
        hurried.close()
    strict = Decoders(Limits(pixels=1000), 1)
    try:
        with pytest.raises(BadPicture, match="more than the limit of 1,000"):
            strict.square(picture("PNG"), 64)
        assert strict.square(picture("PNG", (20, 20)), 64).size == (64, 64)
    finally:
        strict.close()
