"""Where an index's items come from, remembered in its manifest so that it can be brought up to date without asking."""

from collections.abc import Mapping
from typing import Any

from lens.config import build
from lens.config.schema import reader_fields
from lens.data.catalogue import Catalogue, with_captions
from lens.errors import LensError
from lens.files import at_home

_PLACES = ("root", "path")
_OWN = tuple(f"lens.data.sources.read_{kind}" for kind in ("folder", "manifest", "fashion_mnist", "rendered"))


def source_of(node: Mapping[str, Any]) -> dict[str, Any]:
    """The reader of a data node with its settings, plain values, places made absolute.

    Raises LensError for a node that reads no catalogue.
    """
    fields = reader_fields(dict(node), "data")
    if fields is None:
        raise LensError(
            f"data={node.get('_target_')} reads no catalogue: give data=folder, manifest or another."
        )
    settings = {key: value for key, value in node.items() if key in fields.hints}
    for key in _PLACES:
        if settings.get(key) is not None:
            settings[key] = str(at_home(settings[key]).absolute())
    return {"reader": node["_reader_"], **settings}


def remembered(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The source that an index's manifest tells of. Raises LensError where it tells of none."""
    catalogue = manifest.get("catalogue") or {}
    source = catalogue.get("source")
    if (
        isinstance(source, Mapping) and source.get("reader") in _OWN
    ):  # a manifest does not say what code to run
        return dict(source)
    root = catalogue.get("root")
    if root and str(catalogue.get("name", "")).startswith("folder "):
        return {"reader": "lens.data.sources.read_folder", "root": root}
    raise LensError(
        "The index does not say how its images were found: give data=, such as data=folder data.root=PATH."
    )


def read(source: Mapping[str, Any]) -> Catalogue:
    """The catalogue of a source as a run would export it; only the table is read, no image is opened.

    Raises LensError as the reader does.
    """
    settings = {key: value for key, value in source.items() if key != "reader"}
    return with_captions(build({"_target_": source["reader"], **settings}))
