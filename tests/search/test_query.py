"""What a query may say."""

import json
from pathlib import Path

import pytest

from lens.errors import LensError
from lens.search import Query, Term


def test_a_query_from_json_says_what_json_said() -> None:
    text = """{"terms": [{"item": "a"}, {"text": "red", "weight": 0.5}, {"item": "b", "weight": -1}],
               "where": {"category": ["boot", "sneaker"]}, "k": 3, "models": "clip", "expand": 2, "rerank": true}"""
    query = Query.from_dict(json.loads(text))
    assert [(term.item, term.text, term.weight) for term in query.terms] == [
        ("a", None, 1.0),
        (None, "red", 0.5),
        ("b", None, -1),
    ]
    assert (query.k, query.models, query.expand, query.rerank) == (3, ("clip",), 2, True)
    assert query.where == {"category": ["boot", "sneaker"]} and query.modality == "mixed"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "object"),
        ({}, '"terms"'),
        ({"terms": []}, "0 terms"),
        ({"terms": "red"}, '"terms", a list'),
        ({"terms": [{"text": "x"}] * 33}, "33 terms"),
        ({"terms": ["red"]}, "A term is an object"),
        ({"terms": [{}]}, "given: none"),
        ({"terms": [{"text": "red", "item": "a"}]}, "given: text, item"),
        ({"terms": [{"texts": "red"}]}, "did you mean 'text'"),
        ({"terms": [{"text": "  "}]}, "give some words"),
        ({"terms": [{"text": 3}]}, "give some words"),
        ({"terms": [{"text": "x" * 2001}]}, "2,001 letters"),
        ({"terms": [{"item": 3}]}, "item ids are texts"),
        ({"terms": [{"image": 3}]}, "image of a term is 3"),
        ({"terms": [{"text": "red", "weight": 0}]}, "weight of a term is 0"),
        ({"terms": [{"text": "red", "weight": float("nan")}]}, "weight of a term is nan"),
        ({"terms": [{"text": "red", "weight": 10**400}]}, "weight of a term"),
        ({"terms": [{"text": "red", "weight": True}]}, "weight of a term is True"),
        ({"terms": [{"text": "red", "weight": "2"}]}, "weight of a term is '2'"),
        ({"terms": [{"text": "red"}], "k": 0}, "k is 0"),
        ({"terms": [{"text": "red"}], "k": 2.5}, "k is 2.5"),
        ({"terms": [{"text": "red"}], "k": True}, "k is True"),
        ({"terms": [{"text": "red"}], "kk": 1}, "no key 'kk'"),
        ({"terms": [{"text": "red"}], "fusion": "best"}, "fusion is 'best'"),
        ({"terms": [{"text": "red"}], "rerank": 1}, "rerank is 1"),
        ({"terms": [{"text": "red"}], "models": 3}, "models is 3"),
        ({"terms": [{"text": "red"}], "weights": {"a": -1}}, "weight of the model 'a'"),
        ({"terms": [{"text": "red"}], "weights": [1]}, "weights is [1]"),
        ({"terms": [{"text": "red"}], "where": "boot"}, "where is 'boot'"),
        ({"terms": [{"group": "/nowhere/g.json"}]}, "There is no group"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_it(values: object, words: str) -> None:
    with pytest.raises(LensError) as error:
        Query.from_dict(values)  # type: ignore[arg-type]
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_stranger_s_query_opens_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"x")
    for kind in ("image", "group"):
        with pytest.raises(LensError, match=f"names the {kind}"):
            Query.from_dict({"terms": [{kind: str(secret)}]}, images={}, groups={})
    query = Query.from_dict({"terms": [{"image": "upload"}]}, images={"upload": b"bytes"}, groups={})
    assert query.terms[0].image == b"bytes"


def test_items_and_groups_are_asked_as_images_are() -> None:
    assert Query((Term(item="a"),)).modality == "image"
    assert Query((Term(text="a"),)).modality == "text"
    assert Query((Term(text="a"), Term(item="a"))).modality == "mixed"
