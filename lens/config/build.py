"""Turns a checked node into an object; no DictConfig ever reaches a constructor."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lens.config.check import fit, missing_keys, resolve
from lens.config.schema import NO_DEFAULT, locate, reader_fields
from lens.errors import LensError


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as plain dicts, lists and scalars, interpolations resolved.

    Raises LensError for a value that is not set or an interpolation that leads nowhere.
    """
    missing = missing_keys(OmegaConf.to_container(cfg, resolve=False))
    if missing:
        raise LensError(f"{missing[0]} is not set: give {missing[0]}=VALUE.")
    return resolve(cfg)


def build(node: DictConfig | dict[str, Any], **extra: Any) -> Any:
    """Call a node's `_target_` with the node's settings as plain values, and `extra`, which wins, as it is.

    Nodes inside are built first. A node with `_reader_` gives its target `read=partial(reader, ...)`
    with the settings that the reader knows; a setting known to both goes to both. `_partial_: true` gives a
    partial.
    Raises LensError for a setting that is unknown, does not fit or is missing.
    """
    values = plain(node) if isinstance(node, DictConfig) else node
    if "_target_" not in values:
        raise LensError("A part without _target_ cannot be built.")
    return _build(fit(values, Any, _name(values)), extra)


def _name(node: dict[str, Any]) -> str:
    return str(node["_target_"]).rpartition(".")[2]


def _build(node: dict[str, Any], extra: dict[str, Any]) -> Any:
    target, name = locate(node["_target_"], _name(node)), _name(node)
    values = {key: _build_inside(v) for key, v in node.items() if not key.startswith("_")}
    reader = reader_fields(node, name)
    if reader is not None:
        known = inspect.signature(target).parameters
        given = {k: v for k, v in values.items() if k in reader.hints or (reader.open and k not in known)}
        absent = [k for k, default in reader.defaults.items() if default is NO_DEFAULT and k not in given]
        if absent:
            raise LensError(f"{name}: the setting {absent[0]} of {node['_reader_']} is not given.")
        read = functools.partial(locate(node["_reader_"], name), **given)
        values = {k: v for k, v in values.items() if k in known or k not in given}
        values["read"] = read
    return _call(target, values | extra, name, bool(node.get("_partial_")))


def _call(target: Callable[..., Any], values: dict[str, Any], name: str, partial: bool) -> Any:
    if partial:
        return functools.partial(target, **values)
    try:
        inspect.signature(target).bind(**values)
    except TypeError as error:
        raise LensError(f"{name}: {error}.") from error
    return target(**values)


def _build_inside(value: Any) -> Any:
    """Build the nodes inside a value; everything else passes."""
    if isinstance(value, dict):
        return _build(value, {}) if "_target_" in value else {k: _build_inside(v) for k, v in value.items()}
    return [_build_inside(v) for v in value] if isinstance(value, list) else value
