"""What a person may choose about an engine."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from lens.errors import LensError

KINDS = ("auto", "exact", "ivf", "hnsw")


@dataclass(frozen=True)
class EngineSettings:
    """How an index is to be searched; kept in its manifest, so that a compacted index is built the same way.

    kind: exact; ivf (an inverted file of 8-bit codes); hnsw (a graph of neighbours over 8-bit codes); or auto: exact
    up to `threshold` rows, ivf above. recall: the recall@10 against exact search that the effort of a search is
    chosen for; recall_of_sums: the same for queries that add two items up, which lie between the cells and cost more.
    candidates: how many of an approximate engine's results are at least rescored exactly. neighbours and
    construction: the links of a row in the graph, and the effort that goes into finding them (HNSW's M and
    efConstruction). seed: of the sample that is trained on, and of the queries that measure recall.
    Raises LensError for values that make no sense.
    """

    kind: str = "auto"
    threshold: int = 50_000
    recall: float = 0.99
    recall_of_sums: float = 0.95
    candidates: int = 50
    neighbours: int = 32
    construction: int = 80
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise LensError(f"The engine is {self.kind!r}; it is one of {', '.join(KINDS)}.")
        least = {"threshold": 0, "candidates": 10, "neighbours": 2, "construction": 1, "seed": 0}
        for name, lowest in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise LensError(
                    f"The engine's {name} is {value!r}; it is a whole number of at least {lowest}."
                )
        for name in ("recall", "recall_of_sums"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
                raise LensError(f"The engine's {name} is {value!r}; it is above 0 and at most 1.")

    def chosen(self, rows: int) -> str:
        """The kind for an index of so many rows: exact, ivf or hnsw."""
        if self.kind == "auto":
            return "exact" if rows <= self.threshold else "ivf"
        return self.kind

    def to_dict(self) -> dict[str, Any]:
        """As the manifest has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EngineSettings":
        """From the manifest; what is not there is as by default. Raises LensError for names that do not exist."""
        names = [field.name for field in fields(cls)]
        unknown = [name for name in values if name not in names]
        if unknown:
            raise LensError(f"An engine has no setting {unknown[0]!r}; it has {', '.join(names)}.")
        return cls(**values)
