"""What is on its way to the tracking store, and what becomes of it while the store is away.

Records wait in memory and leave in batches: one batch costs 12 to 22 ms on SQLite whether it holds one number or
a thousand. When the store does not answer, they are written to `unsent.jsonl` at once, so that neither a long
absence nor a kill loses them, and every later flush tries again, at most once a minute.
"""

import json
import logging
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from lens.errors import LensError
from lens.tracking.store import client, first_line, probe, quiet, shown

Record = dict[str, Any]
METRICS_PER_BATCH, WORDS_PER_BATCH = 1000, 100  # mlflow refuses more
_log = logging.getLogger("lens.tracking")


class Outbox:
    """Ordered records for one run. Safe to use from several threads; nothing here raises for a store that is away.

    A record is a plain dict: {"kind": "metrics", "rows": [[name, value, milliseconds, step], ...]},
    {"kind": "params" | "tags", "values": {...}}, {"kind": "artifact", "path", "folder"} or {"kind": "status", ...}.
    """

    def __init__(self, uri: str, run_id: str, spool: Path, size: int = 50, seconds: float = 10.0) -> None:
        """`spool`: folder of unsent.jsonl. A flush is due after `size` records or `seconds`, whichever is first."""
        self.uri, self.run_id, self.spool = uri, run_id, spool
        self.size, self.seconds = size, seconds
        self.waiting: list[Record] = []
        self._lock = threading.RLock()
        self._last = time.monotonic()
        self._delay, self._not_before = 0.0, 0.0

    @property
    def journal(self) -> Path:
        """The file of what could not be sent; absent when there is nothing."""
        return self.spool / "unsent.jsonl"

    def add(self, record: Record) -> None:
        """Take a record; files leave at once, the rest when a flush is due."""
        with self._lock:
            self.waiting.append(record)
            due = len(self.waiting) >= self.size or time.monotonic() - self._last >= self.seconds
            if due or record["kind"] in ("artifact", "status"):
                self.flush()

    def flush(self, force: bool = False) -> bool:
        """Send what waits, older failures first; True if nothing is left. `force` tries even soon after a failure."""
        with self._lock:
            if force or time.monotonic() >= self._not_before:
                return self._attempt()
            self._keep(self.waiting)
            return False

    def drain(self, seconds: float) -> bool:
        """Flush until all is sent or `seconds` have passed; then one sentence says where the rest lies."""
        end = time.monotonic() + seconds
        while not self.flush(force=True):
            if time.monotonic() + self._delay >= end:
                told = f"they are kept; send them by: python -m lens.tracking send {self.journal}"
                if not self.journal.exists():
                    told = "and could not be kept on disk either"
                _log.warning("Some records of run %s were not sent; %s", self.run_id, told)
                return False
            time.sleep(self._delay)
        return True

    def _attempt(self) -> bool:
        self._last = began = time.monotonic()
        try:
            backlog = self._read_journal()
        except OSError as error:  # what it holds must neither be lost nor overtaken
            _log.warning("%s cannot be read now: %s.", self.journal, first_line(error))
            self._delay = 60.0
            self._not_before = began + self._delay
            return False
        if not backlog and not self.waiting:
            return True
        left, problem = send(self.uri, self.run_id, backlog + self.waiting, self.spool)
        self.waiting = []
        if problem is None:
            if backlog:
                shutil.rmtree(self.spool / "unsent", ignore_errors=True)
                self.journal.unlink(missing_ok=True)
                _log.warning("The tracking store answers again; everything has been sent.")
            self._delay = self._not_before = 0.0
            return True
        if not self._delay:
            _log.warning(
                "The tracking store does not answer (%s); training goes on and it will be tried again.",
                problem,
            )
        self._delay = min(60.0, self._delay * 2 or 1.0)
        # A server that lets each attempt time out may cost a training a tenth of its time, not half.
        self._not_before = time.monotonic() + max(self._delay, 10 * (time.monotonic() - began))
        self._keep(left, replace=True)
        return False

    def _keep(self, records: list[Record], replace: bool = False) -> None:
        """Move records to the journal, files copied beside it; where even that fails they stay in memory."""
        if not records and not replace:
            return
        try:
            self.spool.mkdir(parents=True, exist_ok=True)
            kept = [self._own_copy(record) for record in records]
            text = "".join(json.dumps(record) + "\n" for record in kept)
            if replace or not self.journal.exists():
                head = json.dumps({"kind": "run", "uri": self.uri, "run_id": self.run_id}) + "\n"
                _write_whole(self.journal, head + text)
            else:
                with self.journal.open("a", encoding="utf-8") as file:
                    file.write(text)
            self.waiting = []
        except OSError as error:
            self.waiting = list(records)
            _log.warning("Unsent records could not be written to %s: %s.", self.spool, first_line(error))

    def _own_copy(self, record: Record) -> Record:
        """The caller may change or remove its file before it can be sent."""
        if record["kind"] != "artifact" or record.get("copied"):
            return record
        source = Path(record["path"])
        target = self.spool / "unsent" / f"{time.time_ns()}" / source.name
        target.parent.mkdir(parents=True)
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
        return {**record, "path": str(target), "copied": True}

    def _read_journal(self) -> list[Record]:
        try:
            return [record for record in _read(self.journal) if record["kind"] != "run"]
        except FileNotFoundError:
            return []


def send(uri: str, run_id: str, records: list[Record], spool: Path) -> tuple[list[Record], str | None]:
    """Send records in order. Returns those that are left and why (None: all gone).

    Sending one twice does no harm: the store keeps one row per (name, time, step, value). A record that the store
    refuses for what it says would block the rest for ever: it is set aside in `spool`/refused.jsonl.
    """
    left: list[Record] = []
    problem: str | None = None
    try:
        probe(uri)
    except Exception as error:  # noqa: BLE001 - whatever it is, the training goes on
        return records, first_line(error)
    for batch in _batches(records):
        # A failing file store must not hold up the numbers, which live elsewhere.
        if problem and (not left or left[-1]["kind"] != "artifact" or batch[0]["kind"] == "artifact"):
            left += batch
            continue
        try:
            with quiet():
                _send_batch(uri, run_id, batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, the training goes on
            if getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE":
                _set_aside(spool, batch, error)
            else:
                left += batch
                problem = first_line(error)
    return left, problem


def _batches(records: list[Record]) -> list[list[Record]]:
    """Neighbouring metric records together, up to the limit of one request; every other record alone."""
    batches: list[list[Record]] = []
    rows = 0
    for record in records:
        count = len(record.get("rows", ()))
        joins = (
            batches and count and batches[-1][0]["kind"] == "metrics" and rows + count <= METRICS_PER_BATCH
        )
        rows = rows + count if joins else count
        if joins:
            batches[-1].append(record)
        else:
            batches.append([record])
    return batches


def _send_batch(uri: str, run_id: str, batch: list[Record]) -> None:
    from mlflow.entities import Metric, Param, RunTag

    mlflow, first = client(uri), batch[0]
    if first["kind"] == "metrics":
        rows = [Metric(*row) for record in batch for row in record["rows"]]
        for start in range(0, len(rows), METRICS_PER_BATCH):
            mlflow.log_batch(run_id, metrics=rows[start : start + METRICS_PER_BATCH])
    elif first["kind"] in ("params", "tags"):
        words = list(first["values"].items())
        for start in range(0, len(words), WORDS_PER_BATCH):
            part = words[start : start + WORDS_PER_BATCH]
            if first["kind"] == "params":
                mlflow.log_batch(run_id, params=[Param(key, value) for key, value in part])
            else:
                mlflow.log_batch(run_id, tags=[RunTag(key, value) for key, value in part])
    elif first["kind"] == "artifact":
        put = mlflow.log_artifacts if Path(first["path"]).is_dir() else mlflow.log_artifact
        put(run_id, first["path"], first["folder"])
    elif first["kind"] == "status":
        mlflow.set_terminated(run_id, status=first["status"], end_time=first["time"])


def _set_aside(spool: Path, batch: list[Record], error: Exception) -> None:
    spool.mkdir(parents=True, exist_ok=True)
    with (spool / "refused.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in batch)
    _log.warning(
        "The tracking store refused a record, kept in %s: %s", spool / "refused.jsonl", first_line(error)
    )


def _write_whole(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)


def _read(journal: Path) -> list[Record]:
    """The records of a journal; a last line cut short by a kill is left out."""
    records = []
    for line in journal.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            _log.warning("A broken line in %s was left out.", journal)
    return records


def send_unsent(path: str | Path) -> int:
    """Send what an earlier run left in its `unsent.jsonl`; returns the number of records and removes the file.

    Raises LensError if the file is not such a journal or the store still does not answer.
    """
    journal = Path(path)
    records = _read(journal) if journal.is_file() else []
    if not records or records[0].get("kind") != "run":
        raise LensError(f"{journal} is not a file of unsent records.")
    outbox = Outbox(records[0]["uri"], records[0]["run_id"], journal.parent)
    if not outbox.flush(force=True):
        raise LensError(f"The tracking store {shown(outbox.uri)} still does not answer; {journal} was kept.")
    return len(records) - 1
