"""The one exception that is shown to people, and paths as people write them."""

import os
from pathlib import Path


class LensError(Exception):
    """A mistake the user can mend, told in one sentence: what was wrong, where, and what to do.

    The entry points print the sentence without a traceback and exit with status 2.
    """


def at_home(path: str | os.PathLike[str]) -> Path:
    """`~` and `~NAME` at the start of a path are folders of people; where nobody has that name, it is a file's own."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # ~photo.jpg
        return Path(path)
