"""What a model that paints gives back: whole pictures rebuilt, or hidden patches predicted."""

import numpy as np
from matplotlib.figure import Figure

from lens.figures.style import INK, sheet, show

HIDDEN_GREY = 0.5


def reconstruction_figure(originals: np.ndarray, rebuilt: np.ndarray, side: str) -> Figure:
    """Pictures above, rebuilt below, the mean squared error of each between them.

    originals, rebuilt: float [N, S, S, 3], in [0, 1] (what lies outside is clipped). Raises ValueError without a
    picture and for shapes that differ.
    """
    _check(originals, rebuilt)
    rebuilt = np.clip(rebuilt, 0, 1)
    errors = np.square(rebuilt - originals).mean(axis=(1, 2, 3))
    rows = {"original": originals, "rebuilt": rebuilt}
    return _rows(
        rows,
        {"rebuilt": [f"MSE {error:.4f}" for error in errors]},
        f"Reconstructions ({side}): mean squared error {errors.mean():.4f} over {len(errors)} pictures",
        "Look at shape and colour: the picture below should be the product above, soft edges are normal. The same "
        "blurred product in every column means that the embedding holds little about the single picture.",
    )


def masked_patch_figure(
    originals: np.ndarray, hidden: np.ndarray, predicted: np.ndarray, side: str
) -> Figure:
    """Three rows: the original, what the model saw, and its prediction in the hidden places.

    Args:
        originals, predicted: float [N, S, S, 3], in [0, 1] (what lies outside is clipped).
        hidden: bool [N, S, S], the pixels that the model did not see.

    The error of the hidden pixels stands beside that of painting them in the mean colour of what was seen. Raises
    ValueError as `reconstruction_figure` does, and where nothing is hidden.
    """
    _check(originals, predicted)
    if hidden.shape != originals.shape[:3] or not hidden.any(axis=(1, 2)).all():
        raise ValueError("each picture needs a mask of its own shape that hides something")
    predicted = np.clip(predicted, 0, 1)
    errors, plain = np.empty(len(originals)), np.empty(len(originals))
    for place, (original, mask) in enumerate(zip(originals, hidden, strict=True)):
        errors[place] = np.square(predicted[place] - original)[mask].mean()
        seen = original[~mask] if not mask.all() else original.reshape(-1, 3)
        plain[place] = np.square(seen.mean(axis=0) - original[mask]).mean()
    rows = {
        "original": originals,
        "seen": np.where(hidden[..., None], HIDDEN_GREY, originals),
        "predicted": np.where(hidden[..., None], predicted, originals),
    }
    return _rows(
        rows,
        {"predicted": [f"MSE {error:.4f}" for error in errors]},
        f"Hidden patches predicted ({side}): mean squared error {errors.mean():.4f}; "
        f"the mean colour of each picture would give {plain.mean():.4f}",
        "Look at the places that are grey in the middle row: below, outlines should run through them. Squares that "
        "stay visible, or an error near that of the mean colour, mean that the model has learned little of shape.",
    )


def _check(originals: np.ndarray, others: np.ndarray) -> None:
    if not len(originals):
        raise ValueError("there is no picture to show")
    if originals.shape != others.shape or originals.ndim != 4 or originals.shape[-1] != 3:
        raise ValueError(
            f"pictures need one shape [N, S, S, 3], not {list(originals.shape)} and {list(others.shape)}"
        )


def _rows(rows: dict[str, np.ndarray], notes: dict[str, list[str]], head: str, look: str) -> Figure:
    """One row of pictures for each name; notes stand above the pictures of their row."""
    columns = len(next(iter(rows.values())))
    tile, label, text = 1.25, 0.75, 0.2
    width = max(7.0, label + columns * (tile + 0.08) + 0.1)
    figure, top = sheet(width, len(rows) * (tile + text) + 0.1, head, look, layout=False)
    height = figure.get_figheight()
    for number, (name, pictures) in enumerate(rows.items()):
        bottom = top - (number + 1) * (tile + text) / height
        for column, picture in enumerate(pictures):
            left = (label + column * (tile + 0.08)) / width
            axis = figure.add_axes((left, bottom, tile / width, tile / height))
            show(axis, picture)
            if name in notes:
                axis.set_title(notes[name][column], fontsize=7.5, color=INK, pad=3)
            if column == 0:
                axis.set_ylabel(name, fontsize=9, color=INK)
    return figure
