"""The settings of a service, and what one request may ask of it."""

from dataclasses import dataclass, field

TYPES = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # recognised by their content, whatever a client calls them


@dataclass(frozen=True)
class Limits:
    """bytes, pixels: of one picture; seconds: for an upload to arrive, and again for each stage of its answer.

    concurrent: requests that are worked on at once, beyond which the answer is 429; pictures: in one query; k: results;
    page: items in one answer of the catalogue.
    """

    bytes: int = 10 * 1024 * 1024
    pixels: int = 64_000_000
    seconds: float = 20.0
    concurrent: int = 64
    pictures: int = 4
    k: int = 100
    page: int = 200


@dataclass(frozen=True)
class Settings:
    """Of a service; plain values, so that they can be handed to another process.

    runs, indices, uri, experiment: see `Shelf`; key: that requests have to bring; hosts: names it may be called by,
    roots: see `Pictures`; mlflow: address of the MLflow UI; refresh: seconds between looks for what is new;
    decoders: processes that decode uploads; address: where it is, told when it is ready; strict: whether a run or an
    index that cannot be opened is a mistake, or is left out.
    """

    runs: tuple[str, ...] = ()
    indices: tuple[str, ...] = ()
    uri: str | None = None
    experiment: str = "shopping-lens"
    key: str | None = None
    hosts: tuple[str, ...] = ("localhost",)
    roots: tuple[str, ...] = ()
    mlflow: str = "http://127.0.0.1:5000"
    refresh: float = 5.0
    decoders: int | None = None
    limits: Limits = field(default_factory=Limits)
    address: str = ""
    strict: bool = True
