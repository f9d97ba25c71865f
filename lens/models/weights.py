"""Where a network's first weights come from, decided quickly and said aloud.

``random`` starts from scratch, a local path is read as it is, and ``pretrained`` is looked for in the cache, then on
the network; where neither has it, the model starts from random weights within seconds and says so.
"""

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlparse

import torch
from torch import nn

from lens.errors import LensError
from lens.files import at_home

M = TypeVar("M", bound=nn.Module)

log = logging.getLogger(__name__)

CONNECT_SECONDS = 2.0
HUB = os.environ.get("HF_ENDPOINT", "https://huggingface.co")


def reachable(url: str) -> bool:
    """Whether the host of ``url`` (or the proxy in front of it) accepts a connection within two seconds."""
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    target = urlparse(proxy or url)
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        with socket.create_connection((target.hostname or "", port), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False


def load_or_fall_back(
    weights: str,
    *,
    random: Callable[[], M],
    local: Callable[[Path], M],
    pretrained: Callable[[bool], M],
    name: str,
    url: str,
) -> tuple[M, str]:
    """Builds a network and says where its weights come from: ``pretrained``, ``random`` or ``local``.

    Args:
        weights: ``pretrained``, ``random`` or a path.
        random, local: build the network from scratch, or from a path.
        pretrained: builds it from the hub; its argument says whether only the cache may be used.
        name: what the pretrained weights are called, for the message.
        url: the host they come from.

    Raises:
        LensError: the path does not exist, or holds something that does not fit the network.
    """
    if weights == "random":
        return random(), "random"
    if weights != "pretrained":
        return _from_path(at_home(weights), local), "local"
    for cache_only in (True, False):
        if not cache_only and not reachable(url):
            reason = f"{urlparse(url).hostname} cannot be reached"
            break
        try:
            return pretrained(cache_only), "pretrained"
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    log.warning(
        "WEIGHTS: %s are neither in the cache nor to be had (%s). Training starts from RANDOM weights, and the run is "
        "tagged weights=random; give model.weights=PATH to start from a local copy.",
        name,
        reason,
    )
    return random(), "random"


def read_saved(kind: Any, place: str | Path, *, without: tuple[str, ...] = (), **how: Any) -> Any:
    """``kind.from_pretrained``, which alone would fill what a folder lacks with random numbers and say nothing more.

    Raises:
        ValueError: a parameter is not there, other than those named ``without``.
    """
    network, report = kind.from_pretrained(place, output_loading_info=True, dtype=torch.float32, **how)
    absent = sorted(set(report["missing_keys"]) - set(without))
    if absent:
        raise ValueError(f"{len(absent)} parameters of the network are not there, e.g. {absent[0]}")
    return network


def _from_path(path: Path, local: Callable[[Path], M]) -> M:
    if not path.exists():
        raise LensError(
            f"model.weights={path}: no such file or folder; give 'pretrained', 'random' or a path that exists."
        )
    try:
        return local(path)
    except LensError:
        raise
    except Exception as error:  # whatever a foreign file makes a loader raise
        reason = " ".join(str(error).split())[:300]
        raise LensError(f"model.weights={path}: these weights do not fit the model: {reason}") from error
