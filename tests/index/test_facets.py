"""What a column can be filtered by, of an index that was changed."""

from pathlib import Path

import numpy as np

from lens.index import open_index, save, write
from lens.index.facets import distinct, extent
from tests.index.made import FACTS, table, unit


def test_values_and_ranges_are_those_of_the_items_that_are_there(tmp_path: Path) -> None:
    items = table(6)
    items["title"], items["price"] = list("abcdef"), [5.0, 1.0, np.nan, 9.0, np.inf, 4.0]
    items["count"], items["nothing"] = range(6), np.nan
    folder = save(tmp_path / "index", unit(6, 4), items, **FACTS)
    with open_index(folder) as reader:
        assert distinct(reader.values("title"), 6) == list("abcdef")
        assert distinct(reader.values("title"), 5) is None and distinct(reader.values("price"), 99) is None
        assert extent(reader.values("price")) == (1.0, 9.0) and extent(reader.values("count")) == (0, 5)
        assert extent(reader.values("nothing")) is None and extent(reader.values("title")) is None
    more = items.iloc[:1].assign(item_id="new", title="z", price=20.0)
    with write(folder) as writer:
        writer.delete(["i1", "i5"])
        writer.put(more, unit(1, 4, seed=1))
    with open_index(folder) as reader:
        assert distinct(reader.values("title"), 6) == list("acdez")
        assert extent(reader.values("price")) == (5.0, 20.0)
        assert extent(reader.values("count")) == (0, 4)
