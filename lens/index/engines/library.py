"""The library of approximate search, imported when it is needed."""

from typing import Any


def faiss() -> Any:
    """The module; untyped, as its stubs do not know what its Python wrappers take."""
    import faiss

    return faiss
