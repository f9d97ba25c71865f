"""The commands of the README: each one composes and is accepted, and each make target exists."""

import re
import shlex
from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser

from lens.bulk.words import taken_literally
from lens.config import EvaluateConfig, IndexConfig, ServeConfig, TrainConfig, TuneConfig
from lens.config.preflight import preflight
from lens.config.search import composed_words

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
LINES = [line.split(" #")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]
COMMANDS = [
    line for line in LINES if re.search(r"\b(train|evaluate|tune)\.py\b", line) and "--help" not in line
]
SERVE_COMMANDS = [line for line in LINES if " -m lens.serve " in line]
INDEX_COMMANDS = [line for line in LINES if " -m lens.index " in line and "--help" not in line]


def test_there_are_commands_to_check() -> None:
    assert (
        len(COMMANDS) > 10
        and len(INDEX_COMMANDS) > 4
        and any(line.startswith("make quickstart") for line in LINES)
    )


@pytest.mark.parametrize("line", COMMANDS)
def test_a_documented_command_is_accepted(line: str) -> None:
    words = shlex.split(line)
    program = next(word for word in words if word.endswith(".py"))
    schema = {"train.py": TrainConfig, "evaluate.py": EvaluateConfig, "tune.py": TuneConfig}[program]
    args = get_args_parser().parse_args(words[words.index(program) + 1 :])
    groups = [path.name for path in (ROOT / "conf").iterdir() if path.is_dir()]
    args.overrides = composed_words(args, schema, groups)
    preflight(ROOT / "conf", program.removesuffix(".py"), args, schema)


@pytest.mark.parametrize("line", INDEX_COMMANDS)
def test_a_documented_command_of_the_index_is_accepted(line: str) -> None:
    words = taken_literally(shlex.split(line)[3:])
    args = get_args_parser().parse_args(words)
    preflight(ROOT / "conf", "index", args, IndexConfig)


@pytest.mark.parametrize("line", SERVE_COMMANDS)
def test_a_documented_command_of_the_service_is_accepted(line: str) -> None:
    args = get_args_parser().parse_args(shlex.split(line)[3:])
    preflight(ROOT / "conf", "serve", args, ServeConfig)


@pytest.mark.parametrize("target", sorted({line.split()[1] for line in LINES if line.startswith("make ")}))
def test_a_documented_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
