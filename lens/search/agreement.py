"""Which parts of two pictures, or of a picture and a text, a model finds alike."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lens.errors import LensError
from lens.search.embedder import BATCH, Embedder

Kind = Literal["contributions", "covering"]
GRID = 8  # rows and columns that a picture is covered in
FINE = 6  # places along a side: a coarser map of contributions does not point at anything
FAINT = 1e-5  # differences of cosines below this are rounding, and are not stretched into a map

MEANS = {
    "contributions": "Coloured parts add most to the similarity, beyond what any picture shares with a blank one",
    "covering": "Coloured parts matter most: with one painted white, a picture has less of what makes the two alike",
    "words": "Coloured parts fit the words best: without one of them, the picture is less like the words",
}
REBUILT = "; each picture is also shown as the model rebuilds it from the numbers that it compares."


@dataclass(frozen=True, eq=False)
class Agreement:
    """Maps over the letterboxed squares of two pictures: row 0 is the top, column 0 the left.

    Attributes:
        kind: how the maps were made, see `agreement`.
        means: one sentence for the person who looks at them.
        query: float32 [h, w] in [0, 1]; None where a text was asked.
        item: float32 [h, w] in [0, 1], on the scale of ``query``: what is brighter counts more, in whichever picture.
        rebuilt_query, rebuilt_item: uint8 [S, S, 3], for models that rebuild pictures from their embedding.
    """

    kind: Kind
    means: str
    query: np.ndarray | None
    item: np.ndarray
    rebuilt_query: np.ndarray | None = None
    rebuilt_item: np.ndarray | None = None


def agreement(
    embedder: Embedder,
    query: Image.Image | None,
    item: Image.Image,
    text: str | None = None,
    *,
    kind: Kind | None = None,
) -> Agreement:
    """Maps of what counts for the cosine of an item and a query, which is a picture or a text.

    A place of a picture counts with the inner product of two vectors: its own share in the picture's embedding, and the
    other picture's embedding less that of a blank white picture. Without this subtraction the white ground, and a
    direction that all pictures share, outshine the shoe in a model whose cosines are all near 1. What remains is the
    agreement that a blank picture does not have. Of a text nothing is subtracted. A place's share is either of:

    **contributions**, for models whose embedding is a sum over places: the place less the same place of the blank
    picture. With embeddings e and e', and b of the blank one, a map sums to cos(e, e') - cos(e, b) - cos(e', b) + 1.

    **covering**, for any model: the embedding less the embedding with that one of 8×8 squares painted white (after
    Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", who painted it grey). So a square
    counts by how far covering it lowers the cosine, more than it lowers the cosine with a blank picture; the map's sum
    means nothing. As a hybrid's cosine is the weighted sum of its members', so is its map. CLIP's embedding is no sum
    over places; its patch tokens, projected as its class token is, are not trained to resemble anything.

    Both maps are divided by the largest value of the two, which is 1 then even where little agrees. What speaks against
    the match is negative, and drawn as 0, as is what lies wholly in the letterbox's border.

    Args:
        query: RGB, any size; or None, and ``text`` instead.
        item: RGB, any size.
        kind: None takes contributions where a model has 6×6 places or more, and covering otherwise.

    Raises:
        LensError: not exactly one of query and text; a text for a model that does not read; contributions of a model
            whose embedding is no sum over places.
    """
    if (query is None) == (text is None):
        raise LensError(
            "An item is compared with a picture or with a text: give exactly one of query and text."
        )
    words = None if text is None else embedder.texts([text])
    shown = [item] if query is None else [query, item]
    pictures = embedder.prepare(shown)
    places = None
    if kind == "contributions" or (kind is None and embedder.adds_up):
        places = embedder.local(torch.cat([pictures, torch.ones_like(pictures[:1])]))
    if places is not None and (kind == "contributions" or min(places.shape[1:3]) >= FINE):
        kind, maps = "contributions", _contributions(places, words)
    else:
        kind, maps = "covering", _covering(embedder, pictures, words)
    maps = _scaled([_inside(one, picture) for one, picture in zip(maps, shown, strict=True)])
    rebuilt = embedder.rebuild(pictures)
    redrawn = [None] * len(shown) if rebuilt is None else list(rebuilt)
    means = MEANS["words" if query is None else kind] + ("." if rebuilt is None else REBUILT)
    if query is None:
        return Agreement(kind, means, None, maps[0], None, redrawn[0])
    return Agreement(kind, means, maps[0], maps[1], redrawn[0], redrawn[1])


def _contributions(places: np.ndarray, words: np.ndarray | None) -> list[np.ndarray]:
    """Maps [h, w] from the places [N + 1, h, w, D] of one or two pictures and, last, of a blank one."""
    beyond = places[:-1] - places[-1]
    others = beyond.sum(axis=(1, 2))[::-1] if words is None else words
    return [own @ other for own, other in zip(beyond, others, strict=True)]


def _covering(embedder: Embedder, pictures: Tensor, words: np.ndarray | None) -> list[np.ndarray]:
    *vectors, blank = embedder.batch(torch.cat([pictures, torch.ones_like(pictures[:1])]), exact=True)
    others = [vector - blank for vector in vectors[::-1]] if words is None else words
    return [
        _changes(embedder, picture, vector) @ other
        for picture, vector, other in zip(pictures, vectors, others, strict=True)
    ]


def _changes(embedder: Embedder, picture: Tensor, vector: np.ndarray) -> np.ndarray:
    """What is lost of the embedding [D] of a picture [3, S, S] where a square is painted white: float32 [8, 8, D]."""
    edges = np.linspace(0, picture.shape[-1], GRID + 1).round().astype(int)
    changes = np.zeros((GRID, GRID, len(vector)), np.float32)
    squares, painted = [], []
    for row, column in np.ndindex(GRID, GRID):
        square = (..., slice(edges[row], edges[row + 1]), slice(edges[column], edges[column + 1]))
        if bool((picture[square] != 1).any()):  # what is white stays as it is
            painted.append(picture.clone())
            painted[-1][square] = 1
            squares.append((row, column))
    for start in range(0, len(squares), BATCH):
        without = embedder.batch(torch.stack(painted[start : start + BATCH]), exact=True)
        for place, left in zip(squares[start : start + BATCH], without, strict=True):
            changes[place] = vector - left
    return changes


def _inside(values: np.ndarray, picture: Image.Image) -> np.ndarray:
    """The map with 0 at places that lie wholly in the border which made the picture square."""
    kept = []
    for places, side in zip(values.shape, (picture.height, picture.width), strict=True):
        border = (1 - side / max(picture.size)) / 2
        starts = np.arange(places) / places
        kept.append((starts + 1 / places > border + 1e-9) & (starts < 1 - border - 1e-9))
    return values * np.outer(*kept)


def _scaled(maps: list[np.ndarray]) -> list[np.ndarray]:
    top = max(float(values.max()) for values in maps)
    if top < FAINT:
        return [np.zeros(values.shape, np.float32) for values in maps]
    return [np.clip(values / top, 0, 1).astype(np.float32) for values in maps]
