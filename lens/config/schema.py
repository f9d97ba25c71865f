"""What a configuration may hold: the top-level keys, and the parameters of a callable as fields."""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from hydra.utils import get_object

from lens.errors import LensError

Node = Annotated[dict[str, Any], "node"]
"""One part: `_target_` and the settings of its constructor."""
Nodes = Annotated[dict[str, Any], "nodes"]
"""Several parts by name; a name set to null is a part turned off."""

MARKS = ("_target_", "_reader_", "_partial_")
"""Keys of a node that are not parameters."""
NO_DEFAULT = inspect.Parameter.empty


@dataclasses.dataclass(frozen=True)
class EngineConfig:
    """How a new index is searched, see `lens.index.EngineSettings`."""

    kind: Literal["auto", "exact", "ivf", "hnsw"] = "auto"
    threshold: int = 50_000
    recall: float = 0.99


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Top-level keys of train.py; `changes` are the settings given beside `resume=`, filled in by `entry`."""

    model: Node
    data: Node
    trainer: Node
    augment: Node | None = None
    callbacks: Nodes = dataclasses.field(default_factory=dict)
    logger: Node | None = None
    seed: int = 0
    resume: str | None = None
    model_name: str | None = None
    name: str | None = None
    monitor: str = "val/precision_at_1"
    engine: EngineConfig = dataclasses.field(default_factory=EngineConfig)
    changes: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Top-level keys of evaluate.py; one of run, runs, sweep, index and vectors says what is judged."""

    run: str | None = None
    runs: list[str] | None = None
    index: str | None = None
    vectors: str | None = None
    items: str | None = None
    sweep: str | None = None
    triplets: str | None = None
    robustness: bool = False
    indicators: bool | None = None
    texts: bool = False
    attribute: str | None = None
    shots: bool = False
    rerank: bool = False
    out: str | None = None
    relevance: Literal["category", "product"] | None = None
    split: Literal["train", "val", "test"] | None = None
    ties: Literal["expected", "pessimistic"] = "expected"
    experiment: str = "shopping-lens"
    uri: str | None = None
    data: Node | None = None


@dataclasses.dataclass(frozen=True)
class TuneConfig:
    """Top-level keys of tune.py; `words` are all other words of the command line, filled in by `entry`."""

    trials: int = 20
    timeout: float | None = None
    pruning: Literal["median", "hyperband", "none"] = "median"
    startup_trials: int = 5
    warmup_epochs: int = 1
    sampler_seed: int = 0
    name: str | None = None
    resume: str | None = None
    storage: str | None = None
    words: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class IndexConfig:
    """Top-level keys of `python -m lens.index`; out, update, compact, verify or a question say what is done."""

    run: str | None = None
    out: str | None = None
    update: str | None = None
    compact: str | None = None
    verify: str | None = None
    index: str | None = None
    query: str | dict[str, Any] | None = None
    text: str | None = None
    item: str | None = None
    group: str | None = None
    examples: str | list[str] | None = None
    images: str | list[str] | None = None
    where: dict[str, Any] | None = None
    k: int = 10
    engine: EngineConfig = dataclasses.field(default_factory=EngineConfig)
    shard: int = 512
    progress: bool = True
    experiment: str = "shopping-lens"
    uri: str | None = None
    data: Node | None = None


@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """Top-level keys of `python -m lens.serve`."""

    run: str | list[str] | None = None
    index: str | list[str] | None = None
    host: str = "127.0.0.1"
    port: int = 8001
    hosts: list[str] = dataclasses.field(default_factory=list)
    key: str | None = None
    roots: list[str] = dataclasses.field(default_factory=list)
    mlflow: str | None = None
    refresh: float = 5.0
    max_bytes: int = 10 * 1024 * 1024
    max_pixels: int = 64_000_000
    seconds: float = 20.0
    concurrent: int = 64
    decoders: int | None = None
    experiment: str = "shopping-lens"
    uri: str | None = None


@dataclasses.dataclass(frozen=True)
class Fields:
    """The keys a mapping may hold: type hint and default of each; `open` where any further key is taken."""

    hints: dict[str, Any]
    defaults: dict[str, Any]
    open: bool = False


def locate(path: str, where: str) -> Callable[..., Any]:
    """The callable at a dotted path. Raises LensError if it cannot be imported."""
    try:
        found = get_object(path)
    except Exception as error:
        cause = error.__cause__ or error
        raise LensError(f"{where}: {path!r} cannot be loaded: {' '.join(str(cause).split())}") from error
    if not callable(found):
        raise LensError(f"{where}: {path!r} is not something that can be called.")
    return found  # type: ignore[no-any-return]


@functools.cache
def fields_of(target: Callable[..., Any]) -> Fields:
    """The parameters of a callable, or the fields of a dataclass or TypedDict."""
    if is_typeddict(target):
        hints = get_type_hints(target, include_extras=True)
        required: frozenset[str] = getattr(target, "__required_keys__", frozenset())
        return Fields(hints, {key: NO_DEFAULT if key in required else None for key in hints})
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # some builtins tell nothing
        return Fields({}, {}, open=True)
    hints = _hints(target)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return Fields(
        {p.name: hints.get(p.name, Any) for p in named},
        {p.name: p.default for p in named},
        open=any(p.kind is p.VAR_KEYWORD for p in parameters),
    )


def _hints(target: Any) -> dict[str, Any]:
    is_class = isinstance(target, type) and not dataclasses.is_dataclass(target)
    owner = getattr(target, "__init__") if is_class else target  # noqa: B009 (mypy refuses the plain form)
    try:
        return get_type_hints(owner, include_extras=True)
    except (NameError, TypeError, AttributeError):  # hints that exist for type checkers only
        return {}


def reader_fields(node: dict[str, Any], where: str) -> Fields | None:
    """The parameters of a node's `_reader_`, or None where it has none."""
    return fields_of(locate(node["_reader_"], f"{where}._reader_")) if "_reader_" in node else None


def node_fields(node: dict[str, Any], where: str) -> Fields:
    """What a node may hold: the parameters of its target and of its reader, which stands for `read`."""
    target = fields_of(locate(node["_target_"], f"{where}._target_"))
    reader = reader_fields(node, where)
    if reader is None:
        return target
    hints = {key: hint for key, hint in (reader.hints | target.hints).items() if key != "read"}
    return Fields(hints, reader.defaults | target.defaults, target.open or reader.open)


def inner_fields(value: Any, hint: Any, where: str) -> Fields | None:
    """The fields of a mapping that is a node or hinted as a dataclass or TypedDict; None for others."""
    if not isinstance(value, dict):
        return None
    if "_target_" in value:
        return node_fields(value, where)
    struct = struct_of(hint)
    return fields_of(struct) if struct else None


def struct_of(hint: Any) -> Any:
    """The dataclass or TypedDict among the alternatives of a hint, or None."""
    return next((h for h in alternatives(hint) if dataclasses.is_dataclass(h) or is_typeddict(h)), None)


def alternatives(hint: Any) -> list[Any]:
    """The members of a union, without Annotated around them: `int | None` gives [int, NoneType]."""
    if get_origin(hint) is Annotated:
        return alternatives(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return [part for member in get_args(hint) for part in alternatives(member)]
    return [hint]


def role_of(hint: Any) -> str:
    """ "node" or "nodes" for the hints of that name (also when optional), else ""."""
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    marks = [get_args(m)[1] for m in members if get_origin(m) is Annotated]
    return next((m for m in marks if m in ("node", "nodes")), "")
