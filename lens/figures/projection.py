"""The embedding space on paper: a two-dimensional map of vectors, by category and by picture."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from lens.figures.style import bare, label, sheet

FEWEST_FOR_TSNE, MOST_ITEMS, MOST_CATEGORIES = 30, 1000, 20
# Colours that colour-blind readers tell apart (after Okabe and Ito), each category with a shape beside it.
COLOURS = [
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#7a5c00",
    "#000000",
    "#7b3fbf",
    "#b8ac00",
]
OTHER = "#c8c8c8"
MARKERS = ["o", "^", "s", "D", "v", "P", "X"]


def balanced_sample(labels: np.ndarray, most: int = MOST_ITEMS, seed: int = 0) -> np.ndarray:
    """int [at most ``most``], ascending: random places, of each label (int [N]) as equal a number as there can be."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    first = np.searchsorted(labels[order], labels[order], "left")
    turn = np.arange(len(labels)) - first  # how many of the same label come before it
    return np.sort(order[np.lexsort((random.random(len(labels)), turn))][:most])


def project(vectors: np.ndarray, seed: int = 0) -> tuple[np.ndarray, str]:
    """Places [N, 2] of vectors [N, D], and the method: t-SNE (van der Maaten and Hinton 2008), or PCA below 30 items.

    The vectors are taken as unit vectors, so that near means a high cosine. t-SNE starts from PCA, so two runs of one
    seed give one map. Raises ValueError for fewer than three vectors and where all are the same.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if len(vectors) < 3:
        raise ValueError(f"{len(vectors)} items are too few for a map; it needs three")
    unit = np.asarray(vectors, np.float64)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    if np.ptp(unit, axis=0).max() < 1e-6:
        raise ValueError("all vectors are the same: the embedding has collapsed, and there is no map to draw")
    parts = PCA(min(50, *unit.shape), svd_solver="full").fit_transform(unit)
    plane = np.zeros((len(unit), 2))
    plane[:, : parts.shape[1]] = parts[:, :2]
    if len(unit) < FEWEST_FOR_TSNE:
        return plane, "PCA"
    start = (plane / plane[:, 0].std() * 1e-4).astype(np.float32)
    perplexity = min(30.0, (len(unit) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init=start, random_state=seed).fit_transform(parts), "t-SNE"


def projection_figure(
    places: np.ndarray, categories: np.ndarray, pictures: dict[int, np.ndarray], side: str, method: str
) -> Figure:
    """The map twice: a mark for each item by category, and pictures of some of the items where they lie.

    Args:
        places: float [N, 2].
        categories: str [N]; the 20 most frequent have marks of their own, the others are grey.
        pictures: place number to uint8 [S, S, 3], for the right half; `spread_out` chooses places for it.
        side, method: for the head.
    """
    kinds = len(np.unique(categories))
    figure, _ = sheet(
        14,
        6.4,
        f"Map of the embedding space ({side}): {len(places):,} items of {kinds} categories, {method}",
        "Look for islands of one mark: categories the model keeps apart; marks that mix are categories it confuses. On "
        "the right is the same map in pictures: see what else neighbours share (colour, pose, background). Near is "
        "alike; the size of islands and the distance between them say little.",
    )
    left, right = figure.subplots(1, 2)
    colours = _marks(left, places, categories)
    legend = figure.legend(loc="outside right center", fontsize=9, frameon=False, labelspacing=0.7)
    for mark in legend.legend_handles:
        mark.set_sizes([55])  # type: ignore[union-attr]  # those of a scatter have sizes
    for axis in (left, right):
        bare(axis)
        axis.spines[:].set_color("#d0d7de")
        axis.set(xlim=_limits(places[:, 0]), ylim=_limits(places[:, 1]))
    for number, picture in pictures.items():
        image = OffsetImage(picture, zoom=26 / max(picture.shape[:2]))
        edge = {"edgecolor": colours[number], "linewidth": 1.5}
        right.add_artist(AnnotationBbox(image, tuple(places[number]), pad=0.12, bboxprops=edge))
    return figure


def _marks(axis: Any, places: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Draw them, the most frequent category first; the colour of each item, str [N]."""
    names, counts = np.unique(categories, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    own, rest = names[order[:MOST_CATEGORIES]], names[order[MOST_CATEGORIES:]]
    size, colours = float(np.clip(9000 / len(places), 22, 90)), np.full(len(places), OTHER)
    for number, name in enumerate(own):
        inside = categories == name
        told = f"{label(str(name))} ({inside.sum()})"
        colours[inside] = COLOURS[number % len(COLOURS)]
        axis.scatter(
            *places[inside].T,
            s=size,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            edgecolors="white",
            linewidths=0.4,
            label=f" {told}" if told.startswith("_") else told,  # matplotlib would leave it out of the legend
        )
    if len(rest):
        others = places[np.isin(categories, rest)]
        axis.scatter(*others.T, s=size / 2, color=OTHER, zorder=0, label=f"{len(rest)} other categories")
    return colours


def spread_out(places: np.ndarray, apart: float = 0.08) -> np.ndarray:
    """int, ascending: items whose pictures do not cover each other; the nearer the middle of the map, the sooner taken.

    places: [N, 2]. Two chosen items lie ``apart`` of the map's width or of its height from each other, or more.
    """
    span = np.ptp(places, axis=0)
    scaled = (places - places.min(axis=0)) / np.where(span > 0, span, 1)
    free, chosen = np.ones(len(places), bool), []
    for place in np.argsort(np.square(scaled - 0.5).sum(axis=1), kind="stable"):
        if free[place]:
            chosen.append(int(place))
            free &= np.abs(scaled - scaled[place]).max(axis=1) >= apart
    return np.sort(np.array(chosen, dtype=np.int64))


def _limits(values: np.ndarray) -> tuple[float, float]:
    room = 0.05 * float(np.ptp(values)) or 1.0
    return float(values.min()) - room, float(values.max()) + room
