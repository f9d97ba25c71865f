"""Few-shot: a handful of example images as a saved query, and as the question "is it one of these?"."""

import json
import math
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lens.errors import LensError
from lens.files import at_home, sync

MOST_EXAMPLES = 20
NEGATIVES = 1000  # items of the index that a probe is trained against
REGULARISATION = 0.1
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Group:
    """What 1 to 20 examples have in common, for one model.

    name: for people; run_id: of the model; examples: how many there were.
    prototype: unit vector float32 [D], the direction of the examples' mean (Snell, Swersky and Zemel 2017), which a
        query of the group searches for.
    threshold: the cosine with the prototype from which something counts as one of them.
    coefficients float32 [D], intercept: of the linear probe; None where there was nothing to tell the examples from.
    """

    name: str
    run_id: str | None
    examples: int
    prototype: npt.NDArray[np.float32]
    threshold: float
    coefficients: npt.NDArray[np.float32] | None = None
    intercept: float = 0.0

    def probability(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """The linear probe's probability [N] that each of the vectors [N, D] is one of the group.

        Examples and the rest weigh alike in it, so 0.5 is where it cannot tell. Raises LensError without a probe.
        """
        if self.coefficients is None:
            raise LensError(f"The group {self.name!r} has no probe: it was learned without other items.")
        self._fits(vectors)
        z = vectors.astype(np.float64) @ self.coefficients.astype(np.float64) + self.intercept
        return 1 / (1 + np.exp(-np.clip(z, -500, 500)))

    def contains(
        self, vectors: npt.NDArray[np.float32], by: Literal["prototype", "probe"] = "prototype"
    ) -> npt.NDArray[np.bool_]:
        """Whether each of the vectors [N, D] is one of the group, bool [N]. Raises LensError as `probability`."""
        if by == "probe":
            return self.probability(vectors) >= 0.5
        self._fits(vectors)
        return vectors @ self.prototype >= self.threshold

    def _fits(self, vectors: npt.NDArray[np.float32]) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != len(self.prototype):
            raise LensError(
                f"The group {self.name!r} takes vectors [N, {len(self.prototype)}], not {list(vectors.shape)}."
            )


def learn(
    name: str,
    examples: npt.NDArray[np.float32],
    others: npt.NDArray[np.float32],
    *,
    run_id: str | None,
    regularisation: float = REGULARISATION,
) -> Group:
    """A group from unit vectors of its examples [n, D], told from others [M, D], such as random items of the index.

    The prototype's threshold lies half-way between the mean cosine that an example has with the prototype of the rest
    (1 for a single example, which knows nothing of its kind) and the mean cosine of the others. The probe is a
    logistic regression, both sides weighing alike; some of the others may well belong to the group, which the even
    weights and the strong regularisation forgive.

    Args:
        others: may be empty; then there is no probe, and a single example's threshold is 0.5.
        regularisation: scikit-learn's C of the probe; smaller is smoother.

    Raises LensError for no example or more than 20.
    """
    if not 1 <= len(examples) <= MOST_EXAMPLES:
        raise LensError(
            f"The group {name!r} has {len(examples)} examples; give 1 to {MOST_EXAMPLES} images or items."
        )
    prototype = _direction(examples.sum(axis=0), name)
    alike = 1.0
    if len(examples) > 1:
        rest = examples.sum(axis=0) - examples
        lengths = np.maximum(np.linalg.norm(rest, axis=1), 1e-9)
        alike = float(np.mean((rest * examples).sum(axis=1) / lengths))
    unlike = float(np.mean(others @ prototype)) if len(others) else 0.0
    coefficients, intercept = _probe(examples, others, regularisation) if len(others) else (None, 0.0)
    return Group(name, run_id, len(examples), prototype, (alike + unlike) / 2, coefficients, intercept)


def _direction(total: npt.NDArray[np.floating], name: str) -> npt.NDArray[np.float32]:
    length = float(np.linalg.norm(total))
    if length < 1e-6:
        raise LensError(
            f"The examples of the group {name!r} cancel each other out; they have nothing in common."
        )
    return (total / length).astype(np.float32)


def _probe(
    examples: npt.NDArray[np.float32], others: npt.NDArray[np.float32], regularisation: float
) -> tuple[npt.NDArray[np.float32], float]:
    from sklearn.linear_model import LogisticRegression

    labels = np.repeat([1, 0], [len(examples), len(others)])
    fitted = LogisticRegression(C=regularisation, class_weight="balanced", max_iter=1000)
    fitted.fit(np.vstack([examples, others]).astype(np.float64), labels)
    return fitted.coef_[0].astype(np.float32), float(fitted.intercept_[0])


def save_group(group: Group, path: str | Path) -> Path:
    """Write a group as one JSON file, whole or not at all. Raises LensError where that is impossible."""
    target = at_home(path)
    values: dict[str, Any] = {"format_version": FORMAT_VERSION, **vars(group)}
    for name in ("prototype", "coefficients"):
        values[name] = None if values[name] is None else values[name].tolist()
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}")  # of this call alone
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, target)
        sync(target.parent)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise LensError(f"The group cannot be written to {target}: {error.strerror or error}.") from error
    return target


def load_group(path: str | Path) -> Group:
    """Read what `save_group` wrote. Raises LensError where the file is missing, damaged or of another format."""
    place = at_home(path)
    try:
        values = json.loads(place.read_text(encoding="utf-8"))
        if values.pop("format_version") != FORMAT_VERSION:
            raise ValueError(f"its format is not {FORMAT_VERSION}")
        for name in ("prototype", "coefficients"):
            values[name] = None if values[name] is None else np.array(values[name], np.float32)
        group = Group(**values)
        _check(group)
    except FileNotFoundError as error:
        raise LensError(f"There is no group {place}.") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise LensError(f"{place} is not a group that this program wrote: {error}.") from error
    return group


def _check(group: Group) -> None:
    """Raises ValueError for what `save_group` cannot have written."""
    texts = isinstance(group.name, str) and isinstance(group.run_id, str | None)
    if not texts or not isinstance(group.examples, int) or not 1 <= group.examples <= MOST_EXAMPLES:
        raise ValueError("its name, run or number of examples is none")
    numbers = [group.threshold, group.intercept]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers):
        raise ValueError("its threshold or intercept is no number")
    shape = group.prototype.shape
    if len(shape) != 1 or not abs(float(np.linalg.norm(group.prototype)) - 1) <= 1e-3:
        raise ValueError("its prototype is no unit vector")
    if group.coefficients is not None and (
        group.coefficients.shape != shape or not np.isfinite(group.coefficients).all()
    ):
        raise ValueError("its probe does not fit its prototype")
