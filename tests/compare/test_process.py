"""A question to a process of its own: its answer, or one sentence on its end."""

import os
import sys
from typing import Any

import pytest

from lens.compare.process import ask
from lens.errors import LensError


def question(program: str, timeout: float = 60.0) -> dict[str, Any]:
    return ask([sys.executable, "-c", program], {"number": 7}, os.environ, timeout, "Run ab12")


def test_a_process_answers_by_a_file() -> None:
    program = """
import json, sys
request = json.load(sys.stdin)
print("a library's chatter")
open(request["answer"], "w").write(json.dumps({"twice": 2 * request["number"]}))
"""
    assert question(program) == {"twice": 14}


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "Run ab12.* SIGKILL, perhaps for want of memory"),
        ("import sys, os; print('step 3', file=sys.stderr, flush=True); os.abort()", "Run ab12.*SIGABRT.*: step 3$"),
        ("raise MemoryError('no room for 9 GB')", "^Run ab12.*status 1: MemoryError: no room for 9 GB$"),
        ("import sys; print('a warning\\nOne sentence.', file=sys.stderr); sys.exit(2)", "^One sentence.$"),
        ("import sys; sys.exit(3)", "status 3: it said nothing"),
    ],
)  # fmt: skip
def test_the_end_of_a_process_is_one_sentence(program: str, words: str) -> None:
    with pytest.raises(LensError, match=words) as told:
        question(program)
    assert len(str(told.value).splitlines()) == 1


def test_a_process_that_takes_too_long_is_ended() -> None:
    with pytest.raises(LensError, match="Run ab12 could not be measured within 1 s"):
        question("import time; time.sleep(60)", timeout=1.0)
