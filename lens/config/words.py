"""The sentences: nearest names, and types in plain words."""

import difflib
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from lens.config.schema import alternatives

_NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    Path: "a path",
    types.NoneType: "null",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}


def one_line(error: BaseException | str) -> str:
    """A message on one line."""
    return " ".join(str(error).split())


def nearest_keys(key: str, allowed: Iterable[str]) -> list[str]:
    """Up to three allowed keys that may be meant: the same name elsewhere, else the closest spelling."""
    known = [a for a in allowed if a != key]
    parent, _, leaf = key.rpartition(".")
    same = [a for a in known if a.rpartition(".")[2] == leaf]
    if same:
        return sorted(same, key=lambda a: -difflib.SequenceMatcher(None, a, key).ratio())[:3]
    siblings = {a.rpartition(".")[2]: a for a in known if a.rpartition(".")[0] == parent}
    leaves = {a.rpartition(".")[2]: a for a in known}
    whole = {a: a for a in known}
    for word, names, cutoff in ((leaf, siblings, 0.6), (key, whole, 0.8), (leaf, leaves, 0.7)):
        close = difflib.get_close_matches(word, names, 1, cutoff)
        if close:
            return [names[close[0]]]
    return []


def unknown_key(key: str, allowed: Iterable[str]) -> str:
    """The sentence for a key that does not exist."""
    known = list(allowed)
    meant = nearest_keys(key, known)
    if meant:
        return f"{key}: no such setting; did you mean {' or '.join(meant)}?"
    parent = key.rpartition(".")[0]
    siblings = sorted(a.rpartition(".")[2] for a in known if a.rpartition(".")[0] == parent)
    return f"{key}: no such setting; {parent or 'the top level'} has {', '.join(siblings) or 'none'}."


def unknown_choice(setting: str, value: object, choices: Iterable[object]) -> str:
    """The sentence for a value that is none of the choices."""
    known = [str(c) for c in choices]
    close = difflib.get_close_matches(str(value), known, 1, 0.5)
    nearest = f"; nearest is {close[0]!r}" if close else ""
    return f"{setting}={value}: there is no such choice{nearest} (choices: {', '.join(known) or 'none'})."


def literals(hint: Any) -> list[Any]:
    """The values that a hint lists by Literal."""
    return [v for h in alternatives(hint) if get_origin(h) is Literal for v in get_args(h)]


def describe(hint: Any) -> str:
    """A hint in plain words: `float | None` is "a number or null"."""
    words = [
        _NAMES.get(get_origin(h) or h, getattr(h, "__name__", str(h)))
        for h in alternatives(hint)
        if get_origin(h) is not Literal
    ]
    words += [f"one of {', '.join(map(str, literals(hint)))}"] if literals(hint) else []
    return " or ".join(dict.fromkeys(words))
