"""Names and settings in the form that MLflow takes."""

import re
from collections.abc import Mapping
from typing import Any

LONGEST_NAME = 250


def metric_name(name: str) -> str:
    """A name that MLflow takes and shows unchanged: `val/precision@10` becomes `val/precision_at_10`."""
    clean = re.sub(r"[^A-Za-z0-9_\-. /]", "_", str(name).replace("@", "_at_"))
    parts = [part for part in clean.split("/") if part.strip(" .")]
    return "/".join(parts)[:LONGEST_NAME].rstrip("/") or "unnamed"


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"size": 64}} -> {"model.size": 64}; an empty mapping stays as {}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
