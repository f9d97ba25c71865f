"""What the served models are called."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, count

from lens.serve.opening import Served


def named(found: Sequence[Served]) -> dict[str, Served]:
    """Each under a name of its own: first the newest, then those that were chosen, then guests.

    The newest run of a model has the model's name. Another one keeps the name that it was shown by; new is the model's
    name or, where that is taken, the name of the run behind it, or the start of the run's id.
    """
    names: dict[str, Served] = {}
    held = {one.name for one in found if not one.newest}
    for one in sorted(found, key=lambda one: not one.newest):
        free = (name for name in _names(one) if one.newest or name not in held)
        name = next(
            name for name in chain([] if one.newest else [one.name], free) if name and name not in names
        )
        names[name] = one if name == one.name else replace(one, name=name)
    return {one.name: one for one in sorted(names.values(), key=lambda one: (one.guest, not one.newest))}


def _names(one: Served) -> Iterator[str]:
    short = (one.searcher.run_id or one.reader.folder.name)[:8]
    yield one.model
    if one.run is not None and one.run.name not in ("", one.model):
        yield f"{one.model}@{one.run.name}"
    yield f"{one.model}@{short}"
    for number in count(2):
        yield f"{one.model}@{short}-{number}"
