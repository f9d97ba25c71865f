"""How the vectors of an index are searched: exactly, or by faiss with exact rescoring. Knows arrays and files only."""

from lens.index.engines.building import build
from lens.index.engines.opened import Engine, open_engine
from lens.index.engines.settings import EngineSettings

__all__ = ["Engine", "EngineSettings", "build", "open_engine"]
