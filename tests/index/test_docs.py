"""The examples of docs/index.md, run one after the other."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lens.index import load, open_index, save
from tests.index.made import FACTS, frame, unit

PAGE = (Path(__file__).parents[2] / "docs" / "index.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    items = [
        {
            "item_id": f"boot {row}",
            "category": "boots",
            "price": 45.0 + row,
            "tags": ["leather", "new"][: row % 3],
        }
        for row in range(8)
    ]
    save("shop", unit(8, 4), frame(items), **FACTS)
    names: dict[str, Any] = {}
    for example in EXAMPLES:
        exec(compile(example, "docs/index.md", "exec"), names)
    assert len(EXAMPLES) == 4 and len(capsys.readouterr().out.splitlines()) == 3
    reader = open_index("shop", verify=True)
    ids = reader.ids(np.flatnonzero(reader.alive))
    assert ids == [f"boot {row}" for row in (0, 1, 3, 4, 5, 6, 7, 9)]
    assert len(load("empty").items) == 0 and load("other").items["price"].tolist() == [80.0]
