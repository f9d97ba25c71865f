"""The index folder: vectors of a catalogue with what they belong to."""

from lens.index.folder import FORMAT_VERSION, Index, load, save
from lens.index.foreign import from_vectors

__all__ = ["FORMAT_VERSION", "Index", "from_vectors", "load", "save"]
