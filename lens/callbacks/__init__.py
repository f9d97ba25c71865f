"""What happens beside training: judging, looking, saving and exporting."""

from lens.callbacks.checkpoints import AtomicCheckpointIO, Interruption, RandomState
from lens.callbacks.export import ExportIndex
from lens.callbacks.export_model import ExportModel, check_export, exports
from lens.callbacks.pictures import Pictures
from lens.callbacks.retrieval import RetrievalEvaluation
from lens.callbacks.speed import Speed
from lens.callbacks.watch import CollapseWatch, OverfitWatch

__all__ = [
    "AtomicCheckpointIO",
    "CollapseWatch",
    "ExportIndex",
    "ExportModel",
    "Interruption",
    "OverfitWatch",
    "Pictures",
    "RandomState",
    "RetrievalEvaluation",
    "Speed",
    "check_export",
    "exports",
]
