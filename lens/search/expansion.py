"""Query expansion: the query moves towards what it found first, and searches again."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
ALPHA = 3.0


def expand(queries: Array, found: Array, cosines: Array, alpha: float = ALPHA) -> Array:
    """Unit vectors float32 [Q, D] of expanded queries: alpha-weighted query expansion.

    Each query becomes the direction of ``q + sum over its n first results of max(0, cosine)^alpha · x`` (Radenović,
    Tolias and Chum 2018, "Fine-tuning CNN Image Retrieval with No Human Annotation"). With ``alpha=0`` it is the
    average query expansion of Chum et al. 2007.

    Args:
        queries: unit vectors [Q, D].
        found: unit vectors [Q, n, D] of each query's first results, which must not hold the query itself.
        cosines: [Q, n]; NaN marks a result that is not there.
    """
    there = np.isfinite(cosines)
    weights = np.where(there, np.clip(np.nan_to_num(cosines.astype(np.float64)), 0, None) ** alpha, 0.0)
    total = queries.astype(np.float64) + np.einsum(
        "qn,qnd->qd", weights, np.where(there[..., None], found, 0.0)
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    # Results that cancel the query out leave it as it was.
    return np.where(length > 1e-6, total / np.maximum(length, 1e-6), queries).astype(np.float32)
