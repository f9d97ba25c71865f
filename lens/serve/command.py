"""From the settings of the command line to those of the service."""

import re
import socket
from collections.abc import Mapping
from typing import Any

from lens.errors import LensError
from lens.serve.place import is_local
from lens.serve.settings import Limits, Settings
from lens.tracking import tracking_uri

_MLFLOW = "http://127.0.0.1:5000"  # where `make mlflow` puts its UI


def settings_of(config: Mapping[str, Any]) -> Settings:
    """Raises LensError for a value that makes no sense."""
    for name in ("max_bytes", "max_pixels", "seconds", "concurrent", "refresh"):
        if config[name] <= 0:
            raise LensError(f"{name}={config[name]}: give a number above 0.")
    if config["decoders"] is not None and config["decoders"] < 1:
        raise LensError(f"decoders={config['decoders']}: give at least 1 process.")
    if config["key"] is not None and not re.fullmatch(r"[!-~]{8,}", config["key"]):
        raise LensError(
            "key (LENS_API_KEY): give at least 8 letters, digits and signs of ASCII, without spaces."
        )
    uri = tracking_uri(config["uri"])
    mlflow = config["mlflow"] or (uri if uri.startswith(("http://", "https://")) else _MLFLOW)
    host = config["host"]
    own = [host, "localhost", *((socket.gethostname(), socket.getfqdn()) if not is_local(host) else ())]
    return Settings(
        runs=_several(config["run"]),
        indices=_several(config["index"]),
        uri=uri,
        experiment=config["experiment"],
        key=config["key"],
        hosts=(*own, *config["hosts"]),
        roots=tuple(config["roots"]),
        mlflow=mlflow.rstrip("/"),
        refresh=config["refresh"],
        decoders=config["decoders"],
        limits=Limits(
            bytes=config["max_bytes"],
            pixels=config["max_pixels"],
            seconds=config["seconds"],
            concurrent=config["concurrent"],
        ),
    )


def _several(value: str | list[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)
