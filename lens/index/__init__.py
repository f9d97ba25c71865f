"""The index folder: vectors of a catalogue with what they belong to; searched, and changed while it is searched."""

from lens.index.engines import EngineSettings
from lens.index.folder import FORMAT_VERSION, Index, create, load, save
from lens.index.foreign import from_vectors
from lens.index.manifest import Expected
from lens.index.nearest import Found
from lens.index.reader import Reader, open_index
from lens.index.writer import Writer, write

__all__ = [
    "FORMAT_VERSION",
    "EngineSettings",
    "Expected",
    "Found",
    "Index",
    "Reader",
    "Writer",
    "create",
    "from_vectors",
    "load",
    "open_index",
    "save",
    "write",
]
