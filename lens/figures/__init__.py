"""Pictures of what was measured: plain values to a matplotlib Figure, without pyplot and its global state.

Every figure says in its head what it shows and, below, what to look for.
"""

from lens.figures.calibration import calibration_figure
from lens.figures.confusion import confusion_figure
from lens.figures.projection import balanced_sample, project, projection_figure
from lens.figures.rebuilt import masked_patch_figure, reconstruction_figure
from lens.figures.search import Tile, search_figure
from lens.figures.similarities import similarity_figure

__all__ = [
    "Tile",
    "balanced_sample",
    "calibration_figure",
    "confusion_figure",
    "masked_patch_figure",
    "project",
    "projection_figure",
    "reconstruction_figure",
    "search_figure",
    "similarity_figure",
]
