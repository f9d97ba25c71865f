"""What a side of the split is good for: whether a search on it can be judged, and an order to compute losses in."""

import numpy as np
import pandas as pd


def judgeable(labels: np.ndarray, roles: np.ndarray) -> bool:
    """Whether a search can succeed and fail: some query has a relevant and an irrelevant item to find.

    labels: int [N], equal where items are relevant to each other; roles: str [N], query, gallery or "" for both.
    """
    query, gallery = roles != "gallery", roles != "query"
    same = np.bincount(labels[gallery], minlength=int(labels.max(initial=0)) + 1)[labels[query]]
    relevant = same - gallery[query]  # an item does not find itself
    return bool(((relevant > 0) & (same < gallery.sum())).any())


def mixed_order(labels: np.ndarray, together: int, seed: int) -> np.ndarray:
    """int [N]: the places of all items in one fixed random order, up to ``together`` items of a label side by side.

    Catalogues come sorted by category, and a triplet or contrastive loss of a batch of one class says nothing; nor
    does that of a batch in which no two images belong together.
    """
    random = np.random.default_rng(seed)
    table = pd.DataFrame({"place": random.permutation(len(labels))})
    table["label"] = labels[table["place"].to_numpy()]
    run = table.groupby("label").cumcount() // together
    runs = [group.to_numpy() for _, group in table["place"].groupby([table["label"], run])]
    return (
        np.concatenate([runs[number] for number in random.permutation(len(runs))]) if runs else np.arange(0)
    )
