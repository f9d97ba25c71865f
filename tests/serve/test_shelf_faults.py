"""Runs that cannot be opened: passed over, told once, tried again ever more seldom; the others go on."""

import logging
import shutil
import time
from pathlib import Path

import pytest

from lens.errors import LensError
from lens.serve.opening import Faults
from tests.serve.shelves import copied, own, shelf, warned
from tests.serve.store import Store


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # where fetched indices are kept


class Clock:
    """In place of the module `time`, where pauses are waited for: it goes on by itself, and by what a test adds."""

    def __init__(self) -> None:
        self.added = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.added


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("lens.serve.opening.time", made)
    return made


def test_a_broken_checkpoint_is_passed_over_and_served_when_it_is_whole_again(
    store: Store, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.WARNING, "lens.serve")
    chosen = shelf(store, pause=(1000, 1000))
    old = chosen.models["vit_tiny"]
    with copied(store) as run:
        whole = run.checkpoint.read_bytes()
        run.checkpoint.write_bytes(whole[: len(whole) // 2])
        with copied(store, "resnet_tiny") as other:
            assert chosen.refresh() and not chosen.refresh()
            assert chosen.models["vit_tiny"].searcher is old.searcher
            assert chosen.models["resnet_tiny"].searcher.run_id == other.run_id
            (said,) = warned(caplog)
            assert f"checkpoints/best.ckpt of run {run.run_id} cannot be read" in said and "\n" not in said
            for opening in (
                lambda: chosen.open_run(run.run_id),
                lambda: shelf(store, (run.run_id,)),
                lambda: shelf(store, (), (str(run.place / "index"),)),
            ):
                with pytest.raises(LensError, match="cannot be read .*broken or cut off; put a whole copy"):
                    opening()
            started = shelf(store)
            assert started.models["vit_tiny"].searcher.run_id == store.runs["vit_tiny"]
            assert started.models["resnet_tiny"].searcher.run_id == other.run_id
            caplog.clear()
            run.checkpoint.write_bytes(whole)
            clock.added += 1000
            assert chosen.refresh()
            assert chosen.models["vit_tiny"].searcher.run_id == run.run_id
            assert own(chosen.models["vit_tiny"])[1] == pytest.approx(1, abs=1e-4)
            assert not warned(caplog)


def test_a_passing_fault_is_tried_again_after_the_pause_only(
    store: Store, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    chosen = shelf(store, pause=(1000, 10_000))
    with copied(store) as run:
        index = run.checkpoint.parents[1] / "index"
        index.rename(index.with_name("away"))
        with caplog.at_level(logging.WARNING):
            assert not chosen.refresh()
        assert sum(run.run_id in said for said in warned(caplog)) == 1
        index.with_name("away").rename(index)
        assert not chosen.refresh()  # too soon
        clock.added += 1000
        assert chosen.refresh() and chosen.models["vit_tiny"].searcher.run_id == run.run_id


def test_a_resumed_run_whose_checkpoint_is_broken_is_served_as_it_was(
    store: Store, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    with copied(store, local=True) as run:
        chosen = shelf(store, pause=(1000, 1000))
        old = chosen.models["vit_tiny"]
        run.resume()
        run.hand_over()
        whole = run.checkpoint.read_bytes()
        run.checkpoint.write_bytes(whole[:1000])
        with caplog.at_level(logging.WARNING):
            assert not chosen.refresh() and not chosen.refresh()
        assert chosen.models["vit_tiny"].searcher is old.searcher and own(old)[1] > 0.999
        assert len(warned(caplog)) == 1 and warned(caplog)[0].startswith("vit_tiny is served as it was: ")
        run.checkpoint.write_bytes(whole)
        clock.added += 1000
        assert chosen.refresh() and own(chosen.models["vit_tiny"])[1] > 0.999


def test_what_no_one_thought_of_in_one_run_does_not_keep_the_others_from_being_renewed(store: Store) -> None:
    chosen = shelf(store)
    with copied(store) as run, copied(store, "resnet_tiny") as other:
        config = run.checkpoint.parents[1] / "config.yaml"
        config.write_text(config.read_text().replace("data:", "other:", 1))  # a KeyError
        assert chosen.refresh()
        assert chosen.models["vit_tiny"].searcher.run_id == store.runs["vit_tiny"]
        assert chosen.models["resnet_tiny"].searcher.run_id == other.run_id


def test_a_store_that_is_away_is_told_once_each_time(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    chosen = shelf(store)
    file = Path(store.uri.removeprefix("sqlite:///"))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            shutil.move(file, file.with_suffix(".away"))
            assert not chosen.refresh() and not chosen.refresh()
            shutil.move(file.with_suffix(".away"), file)
            assert not chosen.refresh()
    assert len(warned(caplog)) == 2 and set(chosen.models) == set(store.runs)


def test_pauses_double_up_to_the_longest_and_what_is_mended_starts_anew(clock: Clock) -> None:
    said: list[str] = []
    faults = Faults(said.append, 1000, 3500)
    for pause in (1000, 2000, 3500, 3500):
        faults.failed("a run", "It is broken.")
        assert not faults.waits("another")
        clock.added += pause - 500
        assert faults.waits("a run")
        clock.added += 500
        assert not faults.waits("a run")
    assert said == ["It is broken."]
    faults.failed("a run", "It is away.")
    faults.mended("a run")
    assert not faults.waits("a run")
    faults.failed("a run", "It is away.")
    assert said == ["It is broken.", "It is away.", "It is away."]
