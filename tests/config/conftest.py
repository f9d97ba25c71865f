"""The tiny application in a folder of its own."""

import sys
import textwrap

import pytest

from lens.config import entry
from tests.config.toy import CONF, PARTS, Schema, task


@pytest.fixture
def app(tmp_path, monkeypatch):
    """A folder with configuration and parts, which is also the working directory."""
    for name, text in CONF.items():
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = textwrap.dedent(text).strip()
        if name == "data/none.yaml":
            lines = "# @package _global_\n{}"
        file.write_text(lines + "\n")
    (tmp_path / "toy_parts.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.delitem(sys.modules, "toy_parts", raising=False)
    return tmp_path


@pytest.fixture
def run(app, monkeypatch, capfd):
    """Run a command line in this process; returns exit status and stderr."""

    def call(*overrides: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["app.py", *overrides])
        capfd.readouterr()
        status = 0
        try:
            entry(task, config_name="app", schema=Schema, config_path=app / "conf")()
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, capfd.readouterr().err

    return call
