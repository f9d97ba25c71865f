"""One query put to several models."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lens.index import open_index, write
from lens.search import Query, Searcher, Term, search_several
from tests.search.conftest import Shop


def test_several_models_fuse_to_what_both_say(shop: Shop) -> None:
    ids = shop.catalogue.table["item_id"]
    query = Query((Term(item=ids[3]),), k=5)
    answer = search_several(shop.searchers, query)
    ranks = {
        name: [one.item_id for one in searcher.search(Query(query.terms, k=71)).results]
        for name, searcher in shop.searchers.items()
    }
    expected = sorted(
        set(ids) - {ids[3]},
        key=lambda item: -sum(1 / (61 + ranking.index(item)) for ranking in ranks.values()),
    )
    assert [one.item_id for one in answer.results] == expected[:5] and answer.models == ("clip", "resnet")
    for one in answer.results:
        cosines = [facts["cosine"] for facts in one.models.values()]
        assert one.cosine == pytest.approx(np.mean(cosines)) and len(cosines) == 2
        assert one.models["clip"]["rank"] == ranks["clip"].index(one.item_id) + 1


def test_scores_of_several_models_are_standardised(shop: Shop) -> None:
    ids = shop.catalogue.table["item_id"]
    answer = search_several(
        shop.searchers,
        Query((Term(item=ids[3]),), k=71, fusion="scores", weights={"clip": 2.0}, keep_items=True),
    )
    total = np.zeros(72)
    for name, weight in (("clip", 2 / 3), ("resnet", 1 / 3)):
        cosines = shop.reader(name).vectors(np.arange(72)) @ shop.reader(name).vectors([3])[0]
        total += weight * (cosines - cosines.mean()) / cosines.std()
    assert [one.fused for one in answer.results] == pytest.approx(np.sort(total)[::-1][:71], abs=1e-3)


def test_models_in_another_order_say_the_same(shop: Shop) -> None:
    query = Query((Term(item=shop.catalogue.table["item_id"][8]),), k=20)
    turned = dict(reversed(shop.searchers.items()))
    for fusion in ("rrf", "scores"):
        one, other = (
            search_several(some, replace(query, fusion=fusion)) for some in (shop.searchers, turned)
        )
        assert [result.item_id for result in one.results] == [result.item_id for result in other.results]


def test_an_item_of_one_index_alone_is_found_by_it(shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    shutil.copytree(shop.folders["clip"], folder)
    ids = list(shop.catalogue.table["item_id"])
    nearest = shop.searchers["resnet"].search(Query((Term(item=ids[0]),), k=1)).results[0].item_id
    with write(folder) as writer:
        writer.delete([nearest])
    smaller = Searcher(shop.searchers["clip"].embedder, open_index(folder))
    both = {"clip": smaller, "resnet": shop.searchers["resnet"]}
    for fusion in ("rrf", "scores"):
        answer = search_several(both, Query((Term(item=ids[0]),), k=71, fusion=fusion))
        found = next(one for one in answer.results if one.item_id == nearest)
        assert set(found.models) == {"resnet"} and found.cosine == pytest.approx(
            found.models["resnet"]["cosine"]
        )
