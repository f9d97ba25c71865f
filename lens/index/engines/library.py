"""The library of approximate search, imported when it is needed."""

import logging
from typing import Any


def faiss() -> Any:
    """The module; untyped, as its stubs do not know what its Python wrappers take."""
    # It says, on the level of information, which of its builds it looked for in vain.
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)
    import faiss

    return faiss


def plain_search(index: Any) -> Any:
    """The search of an index, as faiss has it.

    faiss.contrib.torch_utils, which other libraries import, puts one in its place that takes no parameters.
    """
    return getattr(index, "search_numpy", index.search)
