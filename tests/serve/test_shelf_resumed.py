"""Runs that were resumed: new weights with a new index, taken up together."""

import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lens.errors import LensError
from lens.index import write
from lens.serve.shelf import Shelf
from tests.bulk.trained import ROOT, environment, train
from tests.serve.shelves import copied, own, shelf, warned
from tests.serve.store import Store


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # where fetched indices are kept


@pytest.mark.parametrize(("local", "follows"), [(True, True), (True, False), (False, True)])
def test_a_resumed_run_is_searched_with_the_weights_that_made_its_index(
    store: Store, local: bool, follows: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with copied(store, local=local) as run:
        chosen = shelf(store, () if follows else (run.run_id,))
        old = chosen.models["vit_tiny"]
        assert old.searcher.run_id == run.run_id and not chosen.refresh()
        item = old.reader.ids([0])[0]
        assert own(old) == (item, pytest.approx(1, abs=1e-4))
        run.resume()
        with caplog.at_level(logging.WARNING):
            assert not chosen.refresh() and not chosen.refresh()
        assert chosen.models["vit_tiny"].searcher is old.searcher  # the checkpoint is not yet handed over
        said = [
            one for one in warned(caplog) if "is RUNNING; it is taken up when the run has finished" in one
        ]
        assert len(said) == int(local)
        run.hand_over()
        assert chosen.refresh() and not chosen.refresh()
        new = chosen.models["vit_tiny"]
        assert own(new) == (item, pytest.approx(1, abs=1e-4))
        assert new.reader.search(old.reader.vectors([0]), 1).cosines[0, 0] < 0.99  # they are other weights
        assert own(old) == (item, pytest.approx(1, abs=1e-4))  # who holds it is not disturbed
        assert new.newest is follows


def test_a_run_is_not_opened_while_it_is_resumed_but_at_its_end(store: Store) -> None:
    with copied(store, local=True) as run:
        run.resume()
        chosen = shelf(store)
        assert chosen.models["vit_tiny"].searcher.run_id == store.runs["vit_tiny"]
        with pytest.raises(LensError, match="other weights than the checkpoint"):  # which was not handed over
            chosen.open_run(run.run_id)
        run.hand_over()
        assert chosen.refresh()
        assert own(chosen.models["vit_tiny"])[1] == pytest.approx(1, abs=1e-4)


def test_changed_items_keep_the_model_and_another_runs_index_brings_its_own(
    store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    shutil.copytree(store.index("vit_tiny"), folder)
    chosen = shelf(store, (), (str(folder),))
    before = chosen.models["vit_tiny"]
    with write(folder) as writer:
        writer.delete(before.reader.ids([0]))
    assert chosen.refresh()
    assert chosen.models["vit_tiny"].searcher.embedder is before.searcher.embedder
    shutil.rmtree(folder)
    shutil.copytree(store.index("resnet_tiny"), folder)
    assert chosen.refresh() and not chosen.refresh()
    (after,) = chosen.models.values()
    assert (after.name, after.searcher.run_id) == ("resnet_tiny", store.runs["resnet_tiny"])
    assert own(after)[1] == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_a_training_that_goes_on_is_taken_up_at_its_end(shoes: Path, tmp_path: Path) -> None:
    made = train(tmp_path, shoes)
    try:
        chosen = Shelf((), (), made.uri, "shopping-lens", lambda embedder: embedder)
        old = chosen.models["resnet_tiny"]
        words = (f"resume={made.run_id}", "trainer.max_epochs=6", f"logger.uri={made.uri}")
        job = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *words],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        taken = []
        while job.poll() is None:
            taken.append(chosen.refresh())
            assert own(chosen.models["resnet_tiny"])[1] == pytest.approx(1, abs=1e-4)
            time.sleep(0.05)
        taken.append(chosen.refresh())
        assert job.returncode == 0 and sum(taken) == 1 and not chosen.refresh()
        new = chosen.models["resnet_tiny"]
        assert new.reader.seal != old.reader.seal
        assert own(new)[1] == pytest.approx(1, abs=1e-4) and own(old)[1] == pytest.approx(1, abs=1e-4)
        assert new.run is not None and new.run.tags["resumed"] == "1"
    finally:
        made.remove()
