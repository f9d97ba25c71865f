"""Disks, permissions and processes that fail: one sentence, and nothing is lost."""

import errno
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lens.errors import LensError
from lens.index import Writer, load, open_index, write
from tests.index.made import as_format_1, saved, table, unit
from tests.index.test_writer import interrupt, may_only_read


def test_a_damaged_file_of_changes_is_one_sentence_from_a_writer(tmp_path: Path) -> None:
    place = saved(tmp_path / "index")
    with write(place) as writer:
        writer.put(table(1, 10).assign(price=[1]), unit(1, 8))
        writer.put(table(400, 20), unit(400, 8))
    path = place / "changes.sqlite"
    content = bytearray(path.read_bytes())
    for page in range(4096 * 3, len(content), 4096):
        content[page : page + 64] = b"\xff" * 64
    path.write_bytes(content)
    for change in (
        lambda writer: writer.delete(["i3", "i25"]),
        lambda writer: writer.put(table(1, 25), unit(1, 8)),
        lambda writer: writer.put(table(1, 900).assign(price=[0.5]), unit(1, 8)),  # looks at all prices
    ):
        with write(place) as writer, pytest.raises(LensError, match=r"changes.sqlite .*broken or altered"):
            change(writer)
    assert path.read_bytes() == content


def test_an_altered_addition_is_not_taken_for_whole_when_a_column_widens(tmp_path: Path) -> None:
    place = saved(tmp_path / "index")
    with write(place) as writer:
        writer.put(table(1, 10).assign(price=[1]), unit(1, 8))
    path = place / "changes.sqlite"
    content = path.read_bytes()
    assert content.count(b'"price": 1') == 1
    path.write_bytes(content.replace(b'"price": 1', b'"price": )'))
    with write(place) as writer, pytest.raises(LensError, match="checksum of item 'i10' is wrong"):
        writer.put(table(1, 11).assign(price=[0.5]), unit(1, 8))


@pytest.mark.parametrize(
    "change",
    [
        lambda writer: writer.put(table(1, 9), unit(1, 8)),
        lambda writer: writer.delete(["i1"]),
        lambda writer: writer.compact(),
    ],
)
def test_a_closed_writer_says_so(tmp_path: Path, change: Callable[[Writer], Any]) -> None:
    with write(saved(tmp_path / "index")) as writer:
        writer.delete(["i0"])
    with pytest.raises(LensError, match="is closed; open another one"):
        change(writer)
    assert len(open_index(tmp_path / "index", verify=True)) == 5


def test_a_file_that_the_disk_cannot_read_is_one_sentence(tmp_path: Path) -> None:
    place = as_format_1(saved(tmp_path / "index"))
    (place / "vectors.npy").unlink()
    (place / "vectors.npy").symlink_to("/proc/self/mem")  # its beginning cannot be read: EIO, as a bad sector
    with pytest.raises(LensError, match=r"vectors.npy cannot be read: Input/output error"):
        load(place)


def test_a_size_that_cannot_be_told_is_one_sentence(tmp_path: Path) -> None:
    place = as_format_1(saved(tmp_path / "index"))
    manifest = json.loads((place / "manifest.json").read_text())
    (place / "manifest.json").write_text(json.dumps(manifest | {"bytes": {"a" * 300: 1}}))
    with pytest.raises(LensError, match="cannot be read: File name too long"):
        open_index(place)


def test_a_file_that_may_not_be_read_is_one_sentence() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = saved(folder / "index")
        with may_only_read(folder):
            load(place)
            unreadable(place / "vectors.npy")
            with pytest.raises(LensError, match=r"vectors.npy cannot be read: Permission denied"):
                load(place)


def unreadable(path: Path) -> None:
    """Take the right to read a file away, as its owner."""
    me = os.geteuid()
    os.seteuid(path.stat().st_uid)
    path.chmod(0)
    os.seteuid(me)


@pytest.mark.parametrize("missing", [False, True])
def test_no_room_for_the_copy_of_an_interrupted_write_names_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    place = saved(tmp_path / "index")
    with write(place) as writer:
        writer.put(table(3, 6), unit(3, 8, 1))
    interrupt(place)
    folder = str(tmp_path / "gone") if missing else "/proc"
    monkeypatch.setattr(tempfile, "tempdir", folder)
    with pytest.raises(LensError, match=f"temporary folder {folder}.*TMPDIR") as caught:
        open_index(place)
    assert "build the index again" not in str(caught.value)
    monkeypatch.undo()
    assert len(open_index(place, verify=True)) == 9


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_a_failure_after_the_exchange_leaves_the_new_base_and_a_writer_that_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    place = saved(tmp_path / "index")
    real = os.fsync

    def failing(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}") == str(tmp_path.resolve()):
            raise error
        real(handle)

    with write(place) as writer:
        before = open_index(place).seal
        writer.put(table(1, 9), unit(1, 8, 1))
        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises((LensError, KeyboardInterrupt)) as caught:
            writer.compact()
        monkeypatch.undo()
        assert "is as it was" not in str(caught.value)
        assert open_index(place).seal != before
        writer.put(table(1, 10), unit(1, 8, 2))
        writer.delete(["i0"])
    reader = open_index(place, verify=True)
    assert reader.ids(np.flatnonzero(reader.alive)) == ["i1", "i2", "i3", "i4", "i5", "i9", "i10"]
