"""Numbers that wait, and a store that is away."""

import json
import logging
import math
import time
from pathlib import Path
from typing import Any

import pytest

from lens import tracking
from lens.errors import LensError
from lens.tracking.outbox import Outbox, _batches
from lens.tracking.store import client
from tests.tracking.stores import Maker, away, history, locked, status


def test_steps_are_buffered(make: Maker, uri: str) -> None:
    logger = make(buffer_steps=50)
    for step in range(49):
        logger.log_metrics({"loss": 1.0}, step)
        logger.save()
    assert logger.run_id is not None
    assert history(uri, logger.run_id, "loss") == []
    logger.log_metrics({"loss": 1.0}, 49)
    assert len(history(uri, logger.run_id, "loss")) == 50
    logger.log_metrics({"loss": 1.0}, 50)
    logger.after_save_checkpoint(None)
    assert len(history(uri, logger.run_id, "loss")) == 51


def test_requests_stay_below_the_limit(make: Maker, uri: str) -> None:
    records = [{"kind": "metrics", "rows": [["a", 0.0, 0, 0]] * 400}] * 5
    assert [sum(len(record["rows"]) for record in batch) for batch in _batches(records)] == [800, 800, 400]
    logger = make()
    logger.log_metrics({f"m{index}": float(index) for index in range(2500)}, 0)
    logger.log_hyperparams({f"p{index}": index for index in range(250)})
    logger.finalize("success")
    assert logger.run_id is not None
    assert len(tracking.run_metrics(uri, logger.run_id)) == 2500
    assert len(client(uri).get_run(logger.run_id).data.params) == 250


@pytest.mark.parametrize("absence", [away, locked])
def test_nothing_is_lost_while_the_store_is_absent(
    make: Maker, uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, absence: Any
) -> None:
    logger = make(buffer_steps=10)
    run_id = logger.run_id
    assert run_id is not None
    picture = tmp_path / "picture.txt"
    picture.write_text("kept")
    began = time.monotonic()
    with absence(uri):
        for step in range(35):
            logger.log_metrics({"loss": float(step)}, step)
        logger.log_artifact(picture, "pictures")
        logger.set_tags({"colour": "red"})
        picture.unlink()
        assert not Path(uri.removeprefix("sqlite:///")).exists() or absence is locked
    assert time.monotonic() - began < 20  # each of 35 steps would wait for seconds
    logger.finalize("success")
    assert [step for step, _ in history(uri, run_id, "loss")] == list(range(35))
    assert tracking.download(uri, run_id, "pictures/picture.txt", tmp_path / "got").read_text() == "kept"
    assert tracking.run_tags(uri, run_id)["colour"] == "red"
    assert status(uri, run_id) == "FINISHED"
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 2 and "does not answer" in said[0] and "answers again" in said[1]
    assert not list((tmp_path / "spool").iterdir())


def test_what_cannot_be_sent_is_kept_and_sent_later(
    make: Maker, uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = make()
    run_id = logger.run_id
    assert run_id is not None
    with away(uri):
        logger.log_metrics({"loss": 1.0, "odd": math.nan}, 3)
        logger.finalize("failed")
        journal = tmp_path / "spool" / "unsent.jsonl"
        assert str(journal) in caplog.text
        with pytest.raises(LensError, match="still does not answer"):
            tracking.send_unsent(journal)
    assert status(uri, run_id) == "RUNNING"
    assert tracking.send_unsent(journal) == 2
    assert history(uri, run_id, "loss") == [(3, 1.0)]
    assert status(uri, run_id) == "FAILED"
    assert not journal.exists()
    with pytest.raises(LensError, match="not a file of unsent"):
        tracking.send_unsent(journal)


def test_a_kill_during_an_absence_loses_nothing(make: Maker, uri: str, tmp_path: Path) -> None:
    first = make(buffer_steps=2)
    run_id = first.run_id
    assert run_id is not None
    with away(uri):
        for step in range(4):
            first.log_metrics({"loss": float(step)}, step)
    with (tmp_path / "spool" / "unsent.jsonl").open("a") as file:
        file.write('{"kind": "metr')  # the kill came in the middle of a line
    second = make(run_id=run_id)  # the first is never asked again
    second.log_metrics({"loss": 4.0}, 4)
    second.finalize("success")
    assert [step for step, _ in history(uri, run_id, "loss")] == [0, 1, 2, 3, 4]


def test_a_refused_record_does_not_block_the_rest(make: Maker, uri: str, tmp_path: Path) -> None:
    logger = make()
    run_id = logger.run_id
    assert run_id is not None
    outbox = Outbox(uri, run_id, tmp_path / "spool")
    outbox.add({"kind": "params", "values": {"a": "1"}})
    outbox.add({"kind": "params", "values": {"a": "2"}})
    outbox.add({"kind": "tags", "values": {"b": "3"}})
    assert outbox.flush()
    assert client(uri).get_run(run_id).data.params == {"a": "1"}
    assert tracking.run_tags(uri, run_id)["b"] == "3"
    assert json.loads((tmp_path / "spool" / "refused.jsonl").read_text())["values"] == {"a": "2"}


def test_files_that_cannot_be_stored_do_not_hold_up_numbers(make: Maker, uri: str, tmp_path: Path) -> None:
    logger = make()
    run_id = logger.run_id
    assert run_id is not None
    (tmp_path / "mlartifacts").write_text("a file where the folder should be")
    logger.log_dict({"a": 1}, "a.json")
    logger.log_metrics({"loss": 1.0}, 0)
    logger.finalize("success")
    assert history(uri, run_id, "loss") == [(0, 1.0)]
    assert status(uri, run_id) == "FINISHED"
    (tmp_path / "mlartifacts").unlink()
    tracking.send_unsent(tmp_path / "spool" / "unsent.jsonl")
    assert tracking.download(uri, run_id, "a.json", tmp_path / "got").read_text() == '{\n  "a": 1\n}'
