"""A question to a process of its own, whose end, whatever it is, is told in one sentence."""

import json
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lens.errors import LensError

MISTAKE = 2  # the exit status of a process whose last line on stderr is a LensError's sentence


def ask(
    command: Sequence[str],
    request: Mapping[str, Any],
    environment: Mapping[str, str],
    timeout: float,
    who: str,
) -> dict[str, Any]:
    """Give a process its request on stdin, as JSON; returns the JSON that it writes to the file ``request["answer"]``.

    stdin, since an address may hold a password that a list of processes would show; a file, since libraries print.

    Args:
        timeout: in seconds.
        who: what is measured, for the sentence.

    Raises:
        LensError: with the last line that the process wrote to stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.json"
        try:
            done = subprocess.run(
                command,
                input=json.dumps({**request, "answer": str(path)}),
                env=dict(environment),
                text=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise LensError(
                f"{who} could not be measured within {timeout:.0f} s; give it more time."
            ) from error
        if done.returncode == 0:
            return dict(json.loads(path.read_text(encoding="utf-8")))
    raise LensError(_failure(who, done.returncode, done.stderr))


def _failure(who: str, status: int, said: str) -> str:
    last = (said.strip().splitlines() or ["it said nothing"])[-1].strip()
    if status == MISTAKE:
        return last
    if status > 0:
        return f"{who} could not be measured, status {status}: {last}"
    name = signal.Signals(-status).name
    memory = ", perhaps for want of memory" if name == "SIGKILL" else ""
    return f"{who} could not be measured: its process was ended by {name}{memory}; the last line was: {last}"
