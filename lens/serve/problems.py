"""Errors as the service tells them."""

from typing import Any

from lens.errors import LensError


class Missing(LensError):
    """What was asked for is not there: 404."""


class BadPicture(LensError):
    """An upload that cannot be used: 422."""


class Overloaded(LensError):
    """The service is too busy to answer in time: 503."""


class Refused(Exception):
    """A request that goes no further."""

    def __init__(self, status: int, kind: str, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status, self.body = status, problem(status, kind, sentence)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def problem(status: int, kind: str, sentence: str) -> dict[str, Any]:
    """The body of every error."""
    return {"error": {"status": status, "kind": kind, "sentence": sentence}}
