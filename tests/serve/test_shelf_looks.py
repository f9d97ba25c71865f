"""Looking for newer runs: cheap, and nothing is missed."""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from lens import tracking
from lens.serve.opening import Runs
from lens.tracking.runs import continue_run
from lens.tracking.store import client


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 150 finished runs of 40 metrics, which ended a minute after one another."""
    file = tmp_path_factory.mktemp("looks") / "mlflow.db"
    uri = f"sqlite:///{file}"
    tracking.prepare_store(uri, "shoes")
    tracking.prepare_store(uri, "few")
    first = started(uri, 1000)
    tracking.add_to_run(uri, first, metrics={f"m{one}": 1.0 for one in range(40)})
    client(uri).set_terminated(first, end_time=60_000)
    with closing(sqlite3.connect(file)) as database, database:
        for number in range(1, 150):
            changed = {
                "run_uuid": f"'{number:032x}'",
                "start_time": str(1000 + number),
                "end_time": str(60_000 * (number + 1)),
            }
            for table in ("runs", "tags", "latest_metrics"):
                columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
                values = ", ".join(changed.get(name, name) for name in columns)
                database.execute(
                    f"insert into {table} ({', '.join(columns)}) select {values} from {table} where run_uuid = ?",
                    (first,),
                )
    return file


@pytest.fixture
def uri(made: Path, tmp_path: Path) -> str:
    shutil.copy(made, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def started(uri: str, start: int, experiment: str = "shoes") -> str:
    mlflow = client(uri)
    where = mlflow.get_experiment_by_name(experiment).experiment_id
    return str(mlflow.create_run(where, start_time=start, tags={"model": "m"}).info.run_id)


def test_a_second_look_knows_all_runs_and_reads_none_that_ended_before(uri: str) -> None:
    runs = Runs(uri, "shoes")
    all_of_them = tracking.trained_runs(uri, "shoes")
    assert [run.run_id for run in runs.look()] == [run.run_id for run in all_of_them]
    assert tracking.trained_runs(uri, "shoes", max(run.ended for run in all_of_them)) == []
    assert [run.run_id for run in runs.look()] == [run.run_id for run in all_of_them]


def test_runs_that_end_are_found_whenever_they_began(uri: str) -> None:
    runs = Runs(uri, "shoes")
    early, late = started(uri, 500), started(uri, 5000)
    first = {run.run_id: run for run in runs.look()}
    assert (first[early].status, first[early].ended) == ("RUNNING", 0)
    client(uri).set_terminated(late, end_time=10_000_000)
    assert runs.look()[0].run_id == late
    client(uri).set_terminated(
        early, end_time=10_000_000 - 50_000
    )  # told after the other, though it ended before
    found = {run.run_id: run for run in runs.look()}
    assert found[early].status == "FINISHED" and found[early].started == 500
    assert list(found) == sorted(found, key=lambda run_id: -found[run_id].started)
    newest = started(uri, 6000)
    client(uri).set_terminated(newest, end_time=10_000_001)
    assert runs.look()[0].run_id == newest


def test_a_resumed_run_has_another_end(uri: str) -> None:
    runs = Runs(uri, "shoes")
    run = runs.look()[7]
    continue_run(uri, run.run_id, {})
    assert runs.look()[7] == run  # in training again
    tracking.finish_parent(uri, run.run_id)
    after = runs.look()[7]
    assert after.run_id == run.run_id and after.started == run.started
    assert after.ended > run.ended and after.tags["resumed"] == "1"


def test_what_was_deleted_or_told_very_late_shows_in_a_look_at_all(uri: str) -> None:
    old, kept = (started(uri, start, "few") for start in (1, 2))
    for run_id in (old, kept):
        client(uri).set_terminated(run_id, end_time=10_000_000)
    runs = Runs(uri, "few")
    assert [run.run_id for run in runs.look()] == [kept, old]
    client(uri).delete_run(old)
    late = started(uri, 3, "few")
    client(uri).set_terminated(late, end_time=1)
    assert [run.run_id for run in runs.look()] == [kept, old]
    assert runs._all_at > time.monotonic() + 200
    runs._all_at = 0.0  # the time has come
    assert [run.run_id for run in runs.look()] == [late, kept]
