"""A command line that goes on with a run: its settings change the run's stored configuration, not the defaults."""

import dataclasses
import re
from argparse import Namespace
from collections.abc import Collection, Sequence
from typing import Any, cast

from hydra.core.override_parser.types import Override, Quote, QuotedString
from omegaconf import OmegaConf

from lens.config import words
from lens.config.build import plain
from lens.config.check import allowed, check
from lens.config.preflight import parse_overrides
from lens.config.schema import alternatives, fields_of, role_of
from lens.errors import LensError

_COMPOSED = ("resume", "logger.uri", "logger.experiment")  # what finds the run


def hold_back(args: Namespace, schema: type, groups: Collection[str]) -> list[str]:
    """The words that Hydra composes: all, or beside `resume=RUN` those that find the run, the rest in `changes`.

    Only for a `schema` with the key `changes`; `groups` are the folders of choices.
    Raises LensError for a sweep beside `resume=`, a choice of a group, and what no run can be given.
    """
    hints = fields_of(schema).hints
    parsed = parse_overrides(args.overrides)
    given = [as_text(word, hints) for word in parsed]
    if "changes" not in hints:
        return given
    if any(word.key_or_group == "changes" for word in parsed):
        raise LensError("changes cannot be set: write the settings themselves beside resume=RUN_ID.")
    last = next((word for word in reversed(parsed) if word.key_or_group == "resume"), None)
    if last is None or last.is_delete() or last.value() is None:
        return given
    modes = [str(word.value()) for word in parsed if word.key_or_group == "hydra.mode"]
    if args.multirun or last.is_sweep_override() or "MULTIRUN" in " ".join(modes).upper():
        raise LensError("resume goes on with one run: leave out -m and give one run's id.")
    composed = [word for word in parsed if word.key_or_group in _COMPOSED or word.is_hydra_override()]
    held = [word for word in parsed if word not in composed]
    for word in held:
        if word.key_or_group.partition("/")[0] in groups:
            raise LensError(_whole(word))
        _refuse(word)
    quoted = [quote(cast(str, literal(word.input_line))) for word in held]
    return [*(as_text(word, hints) for word in composed), f"++changes=[{','.join(quoted)}]"]


def changed(stored: dict[str, Any], changes: Sequence[str], schema: type) -> dict[str, Any]:
    """A stored, resolved configuration with the settings `KEY=VALUE` changed, as plain values; `+` makes no difference.

    A top-level key that it lacks, because an older version wrote it, has the default of `schema`.
    Raises LensError for an unknown key, a value that does not fit, and another choice for a whole part.
    """
    cfg = OmegaConf.create(literal(_defaults(schema) | stored))
    raw = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=False))
    guide = allowed(raw, fields_of(schema))
    for word in parse_overrides(changes):
        key = word.key_or_group
        _refuse(word)
        if key not in guide or key == "changes":
            raise LensError(words.unknown_key(key, [name for name in guide if name != "changes"]))
        if role_of(guide[key]) or OmegaConf.is_dict(OmegaConf.select(cfg, key)):
            raise LensError(_whole(word))
        OmegaConf.update(cfg, key, word.value(), merge=False, force_add=True)
    check(cfg, schema)
    return {key: value for key, value in plain(cfg).items() if key != "changes"}


def literal(value: Any) -> Any:
    """Plain values as OmegaConf has to be given them, so that it finds no interpolation in a text."""
    if isinstance(value, dict):
        return {key: literal(child) for key, child in value.items()}
    if isinstance(value, list):
        return [literal(child) for child in value]
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if isinstance(value, str) else value


def _defaults(schema: type) -> dict[str, Any]:
    found = {}
    for field in dataclasses.fields(schema):
        if field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            found[field.name] = field.default
    return found


def _refuse(word: Override) -> None:
    """Refuse what is more, or less, than one value for one setting."""
    if word.is_delete():
        raise LensError(f"{word.input_line}: a resumed run keeps its settings; change one with KEY=VALUE.")
    if word.is_sweep_override():
        raise LensError(f"{word.input_line}: several values; write [a,b] to mean one list.")


def _whole(word: Override) -> str:
    return f"{word.input_line}: a resumed run keeps its choices; only single settings of it can change."


def as_text(word: Override, hints: dict[str, Any]) -> str:
    """The word itself; but where a text is wanted, a run's id such as 12e45678 is no number."""
    is_text = str in alternatives(hints.get(word.key_or_group, Any))
    if is_text and not word.is_delete() and type(word.value()) in (int, float):
        return f"{word.get_key_element()}={quote(word.get_value_string())}"
    return str(word.input_line)


def quote(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()
