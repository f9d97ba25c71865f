"""From the body of a request to a query."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import python_multipart
from python_multipart.exceptions import FormParserError

from lens.errors import LensError
from lens.search import Query
from lens.serve.settings import Limits

PARTS = ("image", "image2", "image3", "image4")  # names of the picture parts of a form
_FIELDS = ("query", "model", "k", "item")
_LONGEST_FIELD = 64 * 1024


@dataclass(frozen=True)
class Asked:
    """A query; images: by the names of its parts, the bytes of each file, as its image terms hold them.

    fold: whether results that show almost the same picture are to be put together; item: the one to be explained.
    """

    query: Query
    fold: bool = False
    item: str | None = None


def read_asked(content_type: str, body: bytes, limits: Limits) -> Asked:
    """What a request asks: a query in JSON, or a form with pictures.

    Raises LensError for what cannot be understood or asks for more than the limits.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        return _asked(_json(body, "The request"), {}, limits)
    if kind != "multipart/form-data":
        raise LensError(
            f"The request is {kind or 'of no type'}; send application/json, or multipart/form-data with an image."
        )
    fields, files = _parts(content_type, body)
    for name in files:
        if name not in PARTS:
            raise LensError(f"The form has a file {name!r}; pictures are called {', '.join(PARTS)}.")
    return _asked(_from_form(fields, list(files)), files, limits)


def _asked(values: Any, files: Mapping[str, bytes], limits: Limits) -> Asked:
    if not isinstance(values, Mapping):
        raise LensError(f"A query is an object of keys and values, not {type(values).__name__}.")
    given = dict(values)
    fold, item = given.pop("fold", False), given.pop("item", None)
    if not isinstance(fold, bool):
        raise LensError(f"fold is {fold!r}; it is true or false.")
    if item is not None and not isinstance(item, str):
        raise LensError(f"item is {item!r}; item ids are texts.")
    query = Query.from_dict(given, images=files, groups={})
    if query.k > limits.k:
        raise LensError(f"k is {query.k}; at most {limits.k} results are given at once.")
    if sum(term.image is not None for term in query.terms) > limits.pictures:
        raise LensError(f"The query has more than {limits.pictures} pictures.")
    return Asked(query, fold, item)


def _from_form(fields: Mapping[str, list[str]], files: list[str]) -> dict[str, Any]:
    """The query as JSON would have it: that of the field query, or else one term for each picture."""
    for name in ("query", "k", "item"):
        if len(fields.get(name, [])) > 1:
            raise LensError(f"The form has the field {name} more than once.")
    values = _json(fields["query"][0].encode(), "The field query") if "query" in fields else {}
    if not isinstance(values, dict):
        raise LensError(f"A query is an object of keys and values, not {type(values).__name__}.")
    if "terms" not in values:
        if not files:
            raise LensError("The form has no picture and no query; send a file called image.")
        values["terms"] = [{"image": name} for name in files]
    if "model" in fields:
        values["models"] = fields["model"]
    if "item" in fields:
        values["item"] = fields["item"][0]
    if "k" in fields:
        try:
            values["k"] = int(fields["k"][0])
        except ValueError:
            raise LensError(f"k is {fields['k'][0][:50]!r}; give a whole number.") from None
    return values


def _json(text: bytes, what: str) -> Any:
    try:
        found = json.loads(text.decode("utf-8"), parse_constant=_no_number)
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
        return found
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise LensError(f"{what} is not readable JSON: {reason}.") from error


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _parts(content_type: str, body: bytes) -> tuple[dict[str, list[str]], dict[str, bytes]]:
    """The fields and files of a form. Everything stays in memory."""
    fields: dict[str, list[str]] = {}
    files: dict[str, bytes] = {}

    def on_field(field: Any) -> None:
        name, value = _text(field.field_name), field.value or b""
        if name not in _FIELDS:
            raise LensError(f"The form has a field {name[:50]!r}; it may have {', '.join(_FIELDS)}.")
        if len(value) > _LONGEST_FIELD:
            raise LensError(f"The field {name[:50]!r} of the form is longer than {_LONGEST_FIELD:,} bytes.")
        if value:  # a field that was left empty was not filled in
            fields.setdefault(name, []).append(_text(value))

    def on_file(file: Any) -> None:
        name = _text(file.field_name)
        if name in files:
            raise LensError(f"The form has two files called {name[:50]!r}; call them {', '.join(PARTS)}.")
        file.file_object.seek(0)
        files[name] = file.file_object.read()

    headers = {"Content-Type": content_type.encode("latin-1"), "Content-Length": str(len(body)).encode()}
    config = {"MAX_MEMORY_FILE_SIZE": len(body) + 1, "MAX_BODY_SIZE": len(body) + 1}
    try:
        parser = python_multipart.create_form_parser(headers, on_field, on_file, config=config)
        stream = io.BytesIO(body)
        while chunk := stream.read(1 << 16):
            parser.write(chunk)
        parser.finalize()
    except (FormParserError, UnicodeError, KeyError, ValueError) as error:
        raise LensError(f"The form cannot be read: {str(error)[:200]}") from error
    return fields, files


def _text(value: bytes | None) -> str:
    try:
        return (value or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise LensError("A name or value of the form is not UTF-8.") from error
