"""A question to an index from the terminal, answered as a table and, where asked for, as a JSON file."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lens.errors import LensError
from lens.files import at_home, write_whole
from lens.index import Reader, open_index
from lens.index.facets import distinct
from lens.search import Answer, Embedder, Query, Searcher
from lens.tracking import find_run, tracking_uri
from lens.trained import embedder_of, index_of

_COLOURS = {"high": "green", "medium": "yellow", "low": "red"}
_K = 10


def ask(config: dict[str, Any]) -> None:
    """query=, text= and item= to run= or index=: the answer in the terminal; out= a JSON file.

    Raises LensError for a question that cannot be understood or put to this index.
    """
    question = question_of(config)
    out = config["out"]
    if out is not None and (Path(out).is_dir() or not Path(out).absolute().parent.is_dir()):
        raise LensError(
            f"out={out} is no place for a file; give a file, such as answer.json, in a folder that exists."
        )
    with searcher_of(config, question) as searcher:
        question["where"] = fitting(question["where"], searcher.reader)
        answer = searcher.search(Query.from_dict(question))
        _print(answer, searcher.reader)
        if not answer.results:
            _tell_values(question["where"], searcher.reader)
    if out is not None:
        _write(Path(out), answer)


@contextmanager
def searcher_of(config: Mapping[str, Any], question: Mapping[str, Any] | None = None) -> Iterator[Searcher]:
    """The index of run= or index= with the model that made it; without the model where a question needs none.

    Raises LensError where there is no such run or index, or the two do not fit.
    """
    uri = tracking_uri(config["uri"])
    if config["index"] is not None:
        folder = at_home(config["index"])
    else:
        folder = index_of(uri, find_run(uri, config["experiment"], config["run"]))
    with open_index(folder) as reader:
        terms = [{}] if question is None else question["terms"]
        modelless = all(isinstance(term, Mapping) and ("item" in term or "group" in term) for term in terms)
        yield Searcher(None if modelless else _embedder(uri, reader), reader)


def question_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The query as `Query.from_dict` takes it: query= (a picture, JSON or its file), text=, item= and group= summed.

    Raises LensError for JSON that cannot be read.
    """
    given = config["query"]
    if isinstance(given, str):
        given = _read(given)
    question: dict[str, Any] = dict(given or {})
    terms, where = question.get("terms") or [], question.get("where") or {}
    if not isinstance(terms, list) or not isinstance(where, dict):
        raise LensError(
            'In a query, "terms" is a list and "where" an object: {"terms": [{"item": "ID"}], "where": {}}.'
        )
    terms = list(terms)
    terms += [{name: config[name]} for name in ("text", "item", "group") if config[name] is not None]
    question["terms"] = terms
    question["where"] = {**where, **(config["where"] or {})}
    if config["k"] != _K or "k" not in question:
        question["k"] = config["k"]
    return question


def _read(text: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        return _json(text, "query=")
    path = at_home(text)
    if path.suffix.lower() == ".json":
        try:
            return _json(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeError) as error:
            raise LensError(f"The query {path} cannot be read: {error}.") from error
    return {"terms": [{"image": str(path)}]}


def _json(text: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise LensError(f"{where} is not readable JSON: {error}.") from error
    if not isinstance(found, dict):
        raise LensError(
            f'{where} holds {type(found).__name__}; give an object, as in {{"terms": [{{"item": "ID"}}]}}.'
        )
    return found


def fitting(where: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    """Conditions as the columns hold their values: a command line cannot tell the text 2012 from the number."""
    return {
        name: _as_text(value) if _is_text(name, reader) else _as_number(value)
        for name, value in where.items()
    }


def _is_text(name: str, reader: Reader) -> bool:
    if name not in reader.schema.names:
        return False
    kind = reader.schema.field(name).type
    return bool(pa.types.is_string(kind) or (pa.types.is_list(kind) and pa.types.is_string(kind.value_type)))


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_text(part) for part in value]
    if isinstance(value, dict):
        return {key: part if key in ("min", "max") else _as_text(part) for key, part in value.items()}
    if isinstance(value, bool):
        return str(value)
    return str(value) if isinstance(value, int | float) else value


def _as_number(value: Any) -> Any:
    """Numbers, true and false out of texts; dates and other texts stay."""
    if isinstance(value, list):
        return [_as_number(part) for part in value]
    if isinstance(value, dict):
        return {key: part if key == "contains" else _as_number(part) for key, part in value.items()}
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value.lower())
    except ValueError:
        return value
    return found if isinstance(found, int | float) else value


def _embedder(uri: str, reader: Reader) -> Embedder:
    """The model that the index was embedded by. Raises LensError where it names none."""
    run_id = reader.manifest.get("run_id")
    if not run_id:
        raise LensError(f"{reader.folder} names no run, so no model can read the query; ask it by item=ID.")
    return embedder_of(uri, run_id)


def _print(answer: Answer, reader: Reader) -> None:
    table = Table(title=f"{len(answer.results)} of {len(reader)} items", box=box.SIMPLE_HEAD)
    for name, side in (("rank", "right"), ("score", "right"), ("band", "left"), ("cosine", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    # An item that has no id of its own is known by its path.
    same = all(result.item_id == result.item.get("path") for result in answer.results)
    shown = ("item_id", "category") if same else ("item_id", "category", "path")
    for name in shown:
        table.add_column(name.removesuffix("_id"), overflow="fold")
    for rank, result in enumerate(answer.results, start=1):
        colour = _COLOURS.get(result.band, "")
        table.add_row(
            str(rank),
            f"[{colour}]{result.score:.1f} %[/]",
            f"[{colour}]{result.band}[/]",
            f"{result.cosine:.4f}",
            *(escape(str(result.item.get(name))) for name in shown),
        )
    console = wide_console()
    console.print(table)
    root = (reader.manifest.get("catalogue") or {}).get("root")
    console.print(f"Paths start at {root}." if root else "", highlight=False, markup=False)


def wide_console() -> Console:
    """For tables that another program, or a file, may get: there no id is broken over two lines."""
    return Console(soft_wrap=True, emoji=False, width=None if sys.stdout.isatty() else 10_000)


def _tell_values(where: Mapping[str, Any], reader: Reader) -> None:
    """What the columns hold that left nothing, where that is soon said."""
    for name in where:
        if values := distinct(reader.values(name), 20):
            print(f"{name} is one of: {', '.join(values)}.")


def _write(path: Path, answer: Answer) -> None:
    text = json.dumps(answer.to_dict(), indent=2, ensure_ascii=False) + "\n"
    try:
        write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise LensError(f"out={path} cannot be written: {error.strerror or error}.") from error
