"""The command line of `python -m lens.index`: texts and paths taken as they are, and the one task that it names."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from lens.config import IndexConfig
from lens.config.resume import literal, quote
from lens.errors import LensError

Task = Literal["build", "update", "compact", "verify", "ask", "learn", "classify"]
ASKED = ("query", "text", "item", "group")
_FREE = ("run", "out", "update", "compact", "verify", "index", *ASKED, "examples", "images")
_ALLOWED: dict[str, tuple[str, ...]] = {
    "build": ("run", "data", "out", "engine", "shard"),
    "update": ("run", "data", "update", "shard"),
    "compact": ("compact",),
    "verify": ("verify",),
    "ask": ("run", "index", *ASKED, "where", "k", "out"),
    "learn": ("run", "index", "group", "examples"),
    "classify": ("run", "index", "group", "images", "out"),
}
_GROUPS: dict[Task, str] = {"learn": "examples", "classify": "images"}
_DEFAULTS = asdict(IndexConfig())
_HOW = (
    "Give one task: run=RUN_ID data=folder data.root=PATH out=FOLDER, update=FOLDER, compact=FOLDER, verify=FOLDER, or "
    "query= (text=, item=, group=) with run= or index=; python -m lens.index --help shows all"
)


def taken_literally(words: Sequence[str]) -> list[str]:
    """The words with quotes where Hydra would read something else out of a text: `query=photo (1).jpg`, `text=women's`.

    `where.COLUMN=VALUE` gets the `++` that Hydra wants for a key that the YAML does not list, and its value is the text
    that was written, as 49.90: its column says later whether that is a number. Words in quotes, lists and Hydra's own
    mappings stay.
    """
    return [_literal(word) for word in words]


def _literal(word: str) -> str:
    key, equals, value = word.partition("=")
    if equals and key.startswith("where."):
        plain = value not in ("", "null") and value[0] not in "[{'\""
        return f"++{key}={quote(str(literal(value)))}" if plain else f"++{word}"
    if not equals or key not in _FREE or value in ("", "null") or value[0] in "'\"":
        return word
    if key in ("examples", "images") and value[0] == "[":
        return word
    if key == "query" and value[0] == "{" and not value[1:].lstrip().startswith(('"', "}")):
        return word  # no JSON: a mapping as Hydra writes it
    return f"{key}={quote(str(literal(value)))}"


def task_of(config: Mapping[str, Any]) -> Task:
    """The one task that a configuration names. Raises LensError for none, several, and settings of another task."""
    given = _given(config)
    asked = [name for name in ASKED if name in given]
    tasks: list[Task] = [name for name in ("update", "compact", "verify") if name in given]  # type: ignore[misc]
    groups: list[Task] = [task for task, name in _GROUPS.items() if name in given]
    if groups:
        tasks += groups
    elif asked:
        tasks.append("ask")
    elif "out" in given:
        tasks.append("build")
    if len(tasks) != 1:
        raise LensError(f"{_HOW}; given: {_shown(given)}.")
    task = tasks[0]
    wrong = [name for name in given if name not in _ALLOWED[task]]
    if wrong:
        names = {"ask": asked[:1], "build": ["out"], **{name: [key] for name, key in _GROUPS.items()}}
        to = f"{names.get(task, [task])[0]}="
        raise LensError(f"{wrong[0]}= does not go with {to}, which takes {_shown(_ALLOWED[task])}.")
    _check_complete(task, given)
    return task


def _check_complete(task: Task, given: Sequence[str]) -> None:
    if task == "build" and not {"run", "data"} <= set(given):
        lacks = "run" if "run" not in given else "data"
        raise LensError(
            f"out= needs {lacks}= too: run=RUN_ID data=folder data.root=PATH out=FOLDER (other data: --help)."
        )
    if task in _GROUPS and "group" not in given:
        raise LensError(f"{_GROUPS[task]}= needs group=FILE.json too, the group's file.")
    if task in ("ask", *_GROUPS) and len({"run", "index"} & set(given)) != 1:
        both = "not both " if "run" in given else ""
        raise LensError(
            f"Say which index is asked, {both}run=RUN_ID for the one that a run exported, or index=FOLDER."
        )


def _given(config: Mapping[str, Any]) -> list[str]:
    """The settings of tasks that differ from their defaults."""
    names = dict.fromkeys(name for allowed in _ALLOWED.values() for name in allowed)
    return [name for name in names if config.get(name) != _DEFAULTS[name]]


def _shown(names: Sequence[str]) -> str:
    return ", ".join(f"{name}=" for name in names) or "nothing"
