"""Queries put to real models and real indices."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lens.errors import LensError
from lens.index import load, open_index, save
from lens.search import Embedder, Query, Searcher, Term, search_several
from tests.search.conftest import Shop, unit

WEIGHT = st.floats(-2, 2).filter(lambda weight: abs(weight) > 0.05)


def test_an_indexed_photograph_finds_itself_first(shop: Shop) -> None:
    for searcher in shop.searchers.values():
        for row in (0, 17, 71):
            path = Path(str(shop.catalogue.root)) / shop.catalogue.table["path"][row]
            answer = searcher.search(Query((Term(image=path),), k=3))
            best = answer.results[0]
            assert best.cosine == pytest.approx(1, abs=1e-4) and best.score == pytest.approx(100, abs=0.01)
            assert best.band == "high" and answer.modality == "image"
            vectors = searcher.reader.vectors(searcher.reader.find([one.item_id for one in answer.results]))
            assert [one.cosine for one in answer.results] == pytest.approx(vectors @ vectors[0], abs=1e-4)
            assert {"decode", "embed", "search", "items"} <= answer.seconds.keys()


def test_an_index_of_the_runs_weights_before_it_was_trained_on_is_refused(shop: Shop, tmp_path: Path) -> None:
    embedder, index = shop.searchers["resnet"].embedder, load(shop.folders["resnet"])
    for weights, fits in ((embedder.weights, True), ("0" * 64, False)):
        about = index.manifest["model"] | {"weights": weights}
        facts = {"run_id": embedder.run_id, "preprocessing": embedder.preprocessing}
        reader = open_index(save(tmp_path / str(fits), index.vectors, index.items, model=about, **facts))
        if fits:
            Searcher(embedder, reader)
        else:
            with pytest.raises(LensError, match="other weights than the checkpoint of run run-resnet has"):
                Searcher(embedder, reader)


def test_weights_are_the_same_however_exactly_they_are_held(shop: Shop) -> None:
    def weights(model: torch.nn.Module) -> str:
        return Embedder(model, 32, name="resnet").weights

    model = shop.searchers["resnet"].embedder.model
    half = copy.deepcopy(model).bfloat16()
    assert weights(half) == weights(copy.deepcopy(half).float()) != weights(model)
    assert weights(copy.deepcopy(model)) == weights(model)


def test_a_named_item_is_left_out_unless_it_is_kept(shop: Shop) -> None:
    searcher = shop.searchers["resnet"]
    item = shop.catalogue.table["item_id"][5]
    out = searcher.search(Query((Term(item=item),), k=72))
    assert len(out.results) == 71 and item not in {one.item_id for one in out.results}
    kept = searcher.search(Query((Term(item=item),), k=72, keep_items=True))
    assert len(kept.results) == 72 and kept.results[0].item_id == item


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    terms=st.lists(
        st.tuples(st.sampled_from(["item", "text"]), st.integers(0, 71), WEIGHT), min_size=1, max_size=4
    )
)
def test_a_query_is_the_weighted_sum_of_its_terms(shop: Shop, terms: list[tuple[str, int, float]]) -> None:
    searcher = shop.searchers["clip"]
    table, total, asked = shop.catalogue.table, np.zeros(16), []
    for kind, row, weight in terms:
        if kind == "item":
            asked.append(Term(item=table["item_id"][row], weight=weight))
            part = searcher.reader.vectors([row])[0]
        else:
            asked.append(Term(text=table["captions"][row][0], weight=weight))
            part = searcher.embedder.texts([table["captions"][row][0]])[0]  # type: ignore[union-attr]
        if len({one for one, _, _ in terms}) == 2:
            mixed = searcher.reader.manifest["bands"]["mixed"]
            part = part - np.array(mixed["image_mean" if kind == "item" else "text_mean"])
        total += weight * part.astype(float)
    if np.linalg.norm(total) < 0.01:
        return
    answer = searcher.search(Query(tuple(asked), k=72, keep_items=True))
    every = searcher.reader.vectors(np.arange(72)) @ (total / np.linalg.norm(total))
    assert [one.cosine for one in answer.results] == pytest.approx(np.sort(every)[::-1], abs=1e-4)


def test_an_image_with_words_adds_what_they_differ_from_the_means_of_their_kinds(shop: Shop) -> None:
    searcher, table = shop.searchers["clip"], shop.catalogue.table
    terms = (Term(item=table["item_id"][4]), Term(text="a red shoe", weight=2.0))
    bands = searcher.reader.manifest["bands"]["mixed"]
    image = searcher.reader.vectors([4])[0] - np.array(bands["image_mean"])
    text = searcher.embedder.texts(["a red shoe"])[0] - np.array(bands["text_mean"])  # type: ignore[union-attr]
    assert searcher.vector(Query(terms)) == pytest.approx(unit(image + 2 * text), abs=1e-5)
    alone = searcher.reader.vectors([4])[0]
    assert searcher.vector(Query(terms[:1])) == pytest.approx(alone, abs=1e-6)


def test_less_of_something_moves_away_from_it(shop: Shop) -> None:
    searcher, ids = shop.searchers["resnet"], shop.catalogue.table["item_id"]
    unwanted = searcher.reader.vectors([9])[0]

    def nearness(*terms: Term) -> float:
        found = searcher.search(Query(terms, k=10))
        rows = searcher.reader.find([one.item_id for one in found.results])
        return float((searcher.reader.vectors(rows) @ unwanted).mean())

    more = nearness(Term(item=ids[0]), Term(item=ids[9], weight=0.5))
    less = nearness(Term(item=ids[0]), Term(item=ids[9], weight=-0.5))
    assert less < more


def test_conditions_lose_nothing(shop: Shop) -> None:
    searcher, table = shop.searchers["resnet"], shop.catalogue.table
    category = table["category"].value_counts().idxmin()
    there = int((table["category"] == category).sum())
    answer = searcher.search(
        Query((Term(item=table["item_id"][0]),), {"category": category}, 50, keep_items=True)
    )
    assert len(answer.results) == there and {one.item["category"] for one in answer.results} == {category}


def test_of_very_many_only_the_first_are_re_ranked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    query = Query((Term(item=shop.catalogue.table["item_id"][3]),), k=60)
    plain = [one.item_id for one in shop.searchers["resnet"].search(query).results]
    monkeypatch.setattr("lens.search.searcher.MOST_RERANKED", 20)
    again = [one.item_id for one in shop.searchers["resnet"].search(replace(query, rerank=True)).results]
    assert again[20:] == plain[20:] and again != plain and set(again) == set(plain)


def test_expansion_and_re_ranking_answer_with_true_cosines(shop: Shop) -> None:
    searcher, ids = shop.searchers["resnet"], shop.catalogue.table["item_id"]
    plain = searcher.search(Query((Term(item=ids[3]),), k=20))
    again = searcher.search(Query((Term(item=ids[3]),), k=20, rerank=True))
    truth = searcher.reader.vectors([3])[0]
    wider = searcher.search(Query((Term(item=ids[3]),), k=20, expand=5))
    for answer in (plain, again, wider):
        rows = searcher.reader.find([one.item_id for one in answer.results])
        assert [one.cosine for one in answer.results] == pytest.approx(
            searcher.reader.vectors(rows) @ truth, abs=1e-4
        )
    assert [one.item_id for one in again.results] != [one.item_id for one in plain.results]
    assert [one.item_id for one in wider.results] != [one.item_id for one in plain.results]
    assert "rerank" in again.seconds and "rerank" not in plain.seconds


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"terms": [{"item": "nothing"}]}, "nothing"),
        ({"terms": [{"text": "red"}], "models": ["resnet"]}, "no text tower.*models=clip can"),
        ({"terms": [{"text": "red"}]}, "models=clip can"),
        ({"terms": [{"item": "x"}], "fusion": "scores", "rerank": True}, "take fusion=rrf"),
        ({"terms": [{"item": "x"}], "models": ["vit"]}, "There is no model 'vit'"),
        ({"terms": [{"item": "x"}], "models": ["clip"], "weights": {"resnet": 1}}, "is not asked"),
        ({"terms": [{"image": "/nowhere.jpg"}], "models": "clip"}, "no such file"),
    ],
)
def test_what_cannot_be_asked_is_said(shop: Shop, values: dict, words: str) -> None:
    with pytest.raises(LensError, match=words):
        search_several(shop.searchers, Query.from_dict(values))


def test_terms_that_cancel_out_are_refused(shop: Shop) -> None:
    item = shop.catalogue.table["item_id"][0]
    with pytest.raises(LensError, match="cancel"):
        shop.searchers["clip"].search(Query((Term(item=item), Term(item=item, weight=-1))))


def test_a_model_and_an_index_of_another_do_not_go_together(shop: Shop) -> None:
    with pytest.raises(LensError, match="run-resnet"):
        Searcher(shop.searchers["clip"].embedder, shop.reader("resnet"))


def test_only_the_proportion_of_weights_counts(shop: Shop) -> None:
    searcher, ids = shop.searchers["resnet"], shop.catalogue.table["item_id"]
    first = searcher.vector(Query((Term(item=ids[0]), Term(item=ids[1], weight=0.5))))
    for scale in (1e-300, 1e-7, 3.0, 1e308):
        again = searcher.vector(Query((Term(item=ids[0], weight=scale), Term(item=ids[1], weight=scale / 2))))
        assert again == pytest.approx(first, abs=1e-5)


def test_an_answer_is_plain_json(shop: Shop) -> None:
    query = Query((Term(item=shop.catalogue.table["item_id"][0]),), k=3)
    for answer in (shop.searchers["clip"].search(query), search_several(shop.searchers, query)):
        read = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
        assert len(read["results"]) == 3 and set(read["results"][0]["models"]) == set(read["models"])
