"""What `evaluate.py` was asked for, and what does not go together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lens.errors import LensError

SOURCES = ("run", "runs", "sweep", "index", "vectors")
SEVERAL = ("runs", "sweep")
_NEEDS_MODEL = {
    "robustness": "without the model no picture can be embedded",
    "indicators": "there is no model to measure",
    "texts": "without the model no text can be embedded",
}
_ONE_AT_A_TIME = ("triplets", "texts", "shots", "rerank")


def source_of(config: Mapping[str, Any]) -> str:
    """Which of the sources is given. Raises LensError where none or several are, or settings that do not go with it."""
    given = [name for name in SOURCES if config[name] is not None]
    if len(given) != 1:
        raise LensError(
            f"Give one of {', '.join(f'{name}=' for name in SOURCES)}; given: {', '.join(given) or 'none'}."
        )
    source = given[0]
    if config.get("data") and source in ("index", "vectors"):
        raise LensError("data= goes with run=, runs= or sweep=: vectors and indices bring their own items.")
    if (config["vectors"] is None) != (config["items"] is None):
        raise LensError("vectors=FILE.npy and items=FILE.csv go together.")
    for name in _ONE_AT_A_TIME:
        if config[name] and source in SEVERAL:
            raise LensError(f"{name}= goes with run=, index= or vectors=: one model at a time.")
    for name, why in _NEEDS_MODEL.items():
        if config[name] and source in ("index", "vectors"):
            raise LensError(f"{name}=true needs run=: {why}.")
    if config["attribute"] is not None and not config["texts"]:
        raise LensError("attribute= goes with texts=true: it is asked for in words.")
    out = config["out"]
    if out is not None and source not in SEVERAL and Path(out).is_dir():
        raise LensError(f"out={out} is a folder; give a file, such as {Path(out) / 'scores.json'}.")
    more = [name for name in ("robustness", "indicators", "texts", "shots", "rerank") if config[name]]
    if config["triplets"] is not None and more:
        raise LensError(f"triplets= is judged alone: leave {', '.join(f'{name}=' for name in more)} out.")
    return source
