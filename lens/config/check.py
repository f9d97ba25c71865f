"""Checks a composed configuration: names first, then what is not set, then interpolations, then types."""

import dataclasses
from pathlib import Path
from typing import Any, cast, get_args

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from lens.config import words
from lens.config.schema import (
    MARKS,
    NO_DEFAULT,
    Fields,
    alternatives,
    fields_of,
    inner_fields,
    role_of,
    struct_of,
)
from lens.errors import LensError

_ADAPTER = ConfigDict(arbitrary_types_allowed=True, coerce_numbers_to_str=True)
_PLAIN = (bool, int, float, str, Path, list, tuple, set, frozenset, dict, type(None))


def check(cfg: DictConfig, schema: type) -> None:
    """Check a composed configuration against the dataclass of its top-level keys and the signatures it names.

    Raises LensError for an unknown key, a value that is not set (`???`), an interpolation that leads nowhere
    and a value that does not fit; the sentence names the key and the nearest right one.
    """
    top = fields_of(schema)
    raw = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=False))
    guide = allowed(raw, top)
    _check_names(raw, top, "", guide)
    _check_set(raw, guide)
    values = resolve(cfg)
    for key, hint in top.hints.items():
        if key in values:
            fit(values[key], hint, key, default=top.defaults[key])
        elif top.defaults[key] is NO_DEFAULT:
            raise LensError(f"{key} is not set: give {key}=VALUE.")


def resolve(cfg: DictConfig) -> dict[str, Any]:
    """Plain values with interpolations resolved. Raises LensError where one leads nowhere; `???` stays."""
    try:
        values = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        cause = str(error).strip().splitlines()[0]
        raise LensError(f"{error.full_key or 'the configuration'}: {words.one_line(cause)}.") from error
    return values  # type: ignore[return-value]


def allowed(value: dict[str, Any], fields: Fields, path: str = "") -> dict[str, Any]:
    """Every dotted key that may be set in this configuration, with its type hint."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys([*fields.hints, *(k for k in value if k not in MARKS)]):
        if key not in fields.hints and not fields.open:
            continue
        hint, here, child = fields.hints.get(key, Any), join(path, key), value.get(key)
        found[here] = hint
        if isinstance(child, dict):
            inside = inner_fields(child, hint, here) or Fields({}, {}, open=True)
            found |= allowed(child, inside, here)
    return found


def join(path: str, key: object) -> str:
    """The dotted path of a key."""
    return f"{path}.{key}" if path else str(key)


def _check_names(value: Any, fields: Fields | None, path: str, guide: dict[str, Any]) -> None:
    """Refuse unknown keys, all the way down."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        here = join(path, key)
        if fields and not fields.open and key not in fields.hints and key not in MARKS:
            raise LensError(words.unknown_key(here, guide))
        hint = fields.hints.get(str(key), Any) if fields else Any
        _check_names(child, inner_fields(child, hint, here), here, guide)


def missing_keys(value: Any, path: str = "") -> list[str]:
    """The dotted keys that are still `???` before interpolation (omegaconf's own finder resolves)."""
    if value == "???":
        return [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [key for name, child in items for key in missing_keys(child, join(path, name))]


def _check_set(raw: dict[str, Any], guide: dict[str, Any]) -> None:
    """Refuse a value that is still `???`."""
    for key in missing_keys(raw):
        hint = guide.get(key, Any)
        word = "PATH" if Path in (hint, *get_args(hint)) or key.endswith(("root", "path")) else "VALUE"
        raise LensError(f"{key} is not set: give {key}={word}.")


def fit(value: Any, hint: Any, path: str, default: Any = NO_DEFAULT) -> Any:
    """A resolved value as its hint wants it (a list as a tuple, text as a Path), nodes staying mappings.

    Raises LensError where it does not fit, or a part that is wanted is not chosen.
    """
    _check_role(value, hint, path)
    if value == "" and default != "" and {str, Path} & set(alternatives(hint)):
        raise LensError(f"{path} is empty; give it a value, or leave it out.")
    if value is None and default is None:
        return None
    fields = inner_fields(value, hint, path)
    if fields is None:
        if isinstance(value, dict) and holds_node(value):
            return {key: fit(v, Any, join(path, key)) for key, v in value.items()}
        if isinstance(value, list) and holds_node(value):
            return [fit(v, Any, join(path, i)) for i, v in enumerate(value)]
        return _convert(value, hint, path)
    unknown = [key for key in value if key not in fields.hints and key not in MARKS and not fields.open]
    if unknown:
        raise LensError(words.unknown_key(join(path, unknown[0]), [join(path, k) for k in fields.hints]))
    hints, defaults = fields.hints, fields.defaults
    fitted = {
        key: v if key in MARKS else fit(v, hints.get(key, Any), join(path, key), defaults.get(key))
        for key, v in value.items()
    }
    return fitted if "_target_" in value else _structure(fitted, hint, fields, path)


def holds_node(value: Any) -> bool:
    """Whether a node lies anywhere inside."""
    if isinstance(value, dict):
        return "_target_" in value or any(map(holds_node, value.values()))
    return isinstance(value, list) and any(map(holds_node, value))


def _structure(fitted: dict[str, Any], hint: Any, fields: Fields, path: str) -> Any:
    """The dataclass (or TypedDict's dict) made of fitted values."""
    struct = struct_of(hint)
    absent = [key for key, default in fields.defaults.items() if default is NO_DEFAULT and key not in fitted]
    if absent:
        raise LensError(f"{join(path, absent[0])} is not set: give {join(path, absent[0])}=VALUE.")
    return struct(**fitted)


def _check_role(value: Any, hint: Any, path: str) -> None:
    """Refuse something else where a part (or parts by name) is wanted."""
    role = role_of(hint)
    is_node = isinstance(value, dict) and "_target_" in value
    if role == "node" and not is_node and not (value is None and type(None) in get_args(hint)):
        raise LensError(f"{path} is not chosen: give {path}=NAME, the name of a file in the folder {path}.")
    if role == "nodes" and isinstance(value, dict):
        for key, part in value.items():
            if part is not None and not (isinstance(part, dict) and "_target_" in part):
                raise LensError(f"{path}.{key}: must be a part with _target_, or null to turn it off.")


def _convert(value: Any, hint: Any, path: str) -> Any:
    """A value without nodes in it, converted by pydantic; hints that it cannot read pass everything."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint, config=_ADAPTER)
    except (PydanticUserError, NameError):
        if struct_of(hint) is hint and not isinstance(value, dict):
            raise LensError(f"{path}={value}: must be a mapping.") from None
        return value
    try:
        # In lax mode true would pass for the number 1.
        fitted = adapter.validate_python(value, strict=True if isinstance(value, bool) else None)
    except ValidationError as error:
        raise LensError(_misfit(value, hint, path, error)) from error
    return fitted if isinstance(fitted, _PLAIN) or dataclasses.is_dataclass(fitted) else value


def _misfit(value: Any, hint: Any, path: str, error: ValidationError) -> str:
    """The sentence for a value of the wrong type."""
    choices = words.literals(hint)
    if choices and isinstance(value, (str, int, float)):
        return words.unknown_choice(path, value, choices)
    first = error.errors()[0]
    place = "".join(f"[{part}]" for part in first["loc"] if isinstance(part, int))
    inside = f" ({place or path}: {first['msg']})" if isinstance(value, (list, dict)) else ""
    return f"{path}={value}: must be {words.describe(hint)}{inside}."
