"""The service's answers, on models that were really trained."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from lens.index import open_index, write
from lens.search import Query, Searcher, Term
from lens.serve.app import create_app
from lens.serve.figures import Figures
from lens.serve.settings import Settings
from lens.trained import embedder_of
from tests.serve.store import MODELS, Store


def sentence(answer: Any, status: int, kind: str) -> str:
    """The sentence of an error, which has to be of this status and kind."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert (error["status"], error["kind"]) == (status, kind)
    return str(error["sentence"])


def ask(client: TestClient, **query: Any) -> dict[str, Any]:
    answer = client.post("/api/search", json=query)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def upload(client: TestClient, picture: bytes, **fields: Any) -> Any:
    return client.post("/api/search", files={"image": ("any name", picture)}, data=fields)


def test_the_newest_run_of_each_model_is_served(client: TestClient, store: Store) -> None:
    told = client.get("/api/models").json()
    models = {one["name"]: one for one in told["models"]}
    assert set(models) == set(MODELS)
    for name, one in models.items():
        assert (one["run_id"], one["items"], one["newest"]) == (store.runs[name], 72, True)
        assert one["run_url"] == f"http://127.0.0.1:5000/#/experiments/1/runs/{store.runs[name]}"
        assert "sneaker" in one["where"]["category"] and set(one["where"]["split"]) == {
            "train",
            "val",
            "test",
        }
    assert [one["name"] for one in told["models"] if one["takes_texts"]] == ["clip_tiny"]
    assert told["needs_key"] is False and "JPEG" in told["limits"]["types"]


@pytest.mark.parametrize("model", MODELS)
def test_a_photograph_gets_the_results_and_scores_that_the_library_gives(
    client: TestClient, store: Store, model: str
) -> None:
    photo = store.photo(3).read_bytes()
    answer = upload(client, photo, model=model, k=8).json()
    with open_index(store.index(model)) as reader:
        searcher = Searcher(embedder_of(store.uri, store.runs[model]), reader)
        expected = searcher.search(Query((Term(image=photo),), k=8))
    assert (answer["models"], answer["modality"], answer["count"]) == ([model], "image", 8)
    assert answer["runs"] == {model: store.runs[model]}
    for rank, (found, wanted) in enumerate(zip(answer["results"], expected.results, strict=True), 1):
        assert found["rank"] == rank
        assert found["cosine"] == pytest.approx(wanted.cosine, abs=1e-5)
        assert found["score"] == pytest.approx(100 * max(0, found["cosine"]))
        assert found["band"] == wanted.band
    cosines = [one["cosine"] for one in answer["results"]]
    assert cosines == sorted(cosines, reverse=True)
    assert {"decode", "embed", "search", "items", "total"} <= set(answer["seconds"])
    best = answer["results"][0]
    assert best["cosine"] == pytest.approx(1, abs=1e-4)
    assert {"category", "product", "caption", "image", "thumbnail"} <= set(best)


def test_words_items_weights_and_filters(client: TestClient) -> None:
    said = ask(client, terms=[{"text": "a photo of a boot"}], k=5)
    assert (said["models"], said["modality"]) == (["clip_tiny"], "text")  # the one that reads
    first, second = (one["item_id"] for one in client.get("/api/items?limit=2").json()["items"])
    both = ask(
        client, terms=[{"item": first}, {"item": second, "weight": -0.5}], models=["resnet_tiny"], k=72
    )
    there = {one["item_id"] for one in both["results"]}
    assert not {first, second} & there and len(there) == 70
    mixed = ask(client, terms=[{"item": first}, {"text": "red"}], models=["clip_tiny"])
    assert mixed["modality"] == "mixed"
    known = client.get("/api/models").json()["models"][0]["where"]["category"]
    some = ask(client, terms=[{"item": first}], where={"category": known[1:3]}, k=72)
    assert {one["category"] for one in some["results"]} == set(known[1:3]) and len(known) > 3


def test_several_models_are_fused(client: TestClient) -> None:
    item = client.get("/api/items?limit=1").json()["items"][0]["item_id"]
    answer = ask(client, terms=[{"item": item}], models=["resnet_tiny", "vit_tiny"], k=6)
    assert answer["model"] == "resnet_tiny+vit_tiny" and set(answer["runs"]) == {"resnet_tiny", "vit_tiny"}
    for one in answer["results"]:
        mean = np.mean([about["cosine"] for about in one["models"].values()])
        assert one["cosine"] == pytest.approx(mean)


def test_the_forms_of_a_request_say_the_same(client: TestClient, store: Store) -> None:
    photo = store.photo(5).read_bytes()
    plain = upload(client, photo, model="resnet_tiny", k=5).json()
    query = {"terms": [{"image": "image"}], "models": ["resnet_tiny"], "k": 5}
    whole = upload(client, photo, query=json.dumps(query)).json()
    assert [one["item_id"] for one in plain["results"]] == [one["item_id"] for one in whole["results"]]
    two = {"image": photo, "image2": store.photo(6).read_bytes()}
    query["terms"].append({"image": "image2", "weight": -0.5})  # type: ignore[attr-defined]
    answer = client.post("/api/search", files=two, data={"query": json.dumps(query)})
    assert answer.status_code == 200 and answer.json()["count"] == 5


def test_the_catalogue_page_by_page(client: TestClient) -> None:
    everything = client.get("/api/items?limit=200").json()
    assert everything["total"] == len(everything["items"]) == 72
    pages = [client.get(f"/api/items?offset={start}&limit=30").json()["items"] for start in (0, 30, 60)]
    assert [one for page in pages for one in page] == everything["items"]
    boots = client.get("/api/items?category=boot").json()
    assert boots["total"] and {one["category"] for one in boots["items"]} == {"boot"}
    part = everything["items"][7]["item_id"][2:9].upper()
    found = client.get("/api/items", params={"text": part}).json()
    wanted = [one for one in everything["items"] if part.lower() in json.dumps(one).lower()]
    assert found["total"] >= 1 and {one["item_id"] for one in found["items"]} >= {
        one["item_id"] for one in wanted if part.lower() in one["item_id"].lower()
    }


def test_an_item_and_its_pictures(client: TestClient, store: Store) -> None:
    one = client.get("/api/items?limit=1").json()["items"][0]
    whole = client.get(f"/api/items/{one['item_id']}").json()
    assert whole["columns"]["category"] == one["category"] and whole["captions"][0] == one["caption"]
    assert "colour" in whole["columns"]
    for address in (one["image"], one["thumbnail"]):
        picture = client.get(address)
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
        assert picture.content[:3] == b"\xff\xd8\xff"


def test_what_cannot_be_asked_is_said_in_one_sentence(client: TestClient) -> None:
    def refused(status: int, kind: str, **query: Any) -> str:
        return sentence(client.post("/api/search", json=query), status, kind)

    assert "no model 'vgg'" in refused(404, "missing", terms=[{"text": "red"}], models=["vgg"])
    item = refused(404, "missing", terms=[{"item": "nothing"}], models=["resnet_tiny"])
    assert item == "The index of resnet_tiny holds no item 'nothing'."
    assert "no text tower" in refused(422, "query", terms=[{"text": "red"}], models=["resnet_tiny"])
    assert "no column 'colur'" in refused(422, "query", terms=[{"text": "red"}], where={"colur": "red"})
    assert "at most 100" in refused(422, "query", terms=[{"text": "red"}], k=101)
    assert "'image'; given are: none" in refused(422, "query", terms=[{"image": "image"}])
    assert "'/etc/passwd'" in refused(422, "query", terms=[{"image": "/etc/passwd"}])
    assert "'/etc/passwd'" in refused(422, "query", terms=[{"group": "/etc/passwd"}])
    assert "at most 4" in refused(422, "query", terms=[{"text": "a"}], models=["a", "b", "c", "d", "e"])
    assert 'needs "terms"' in refused(422, "query", k=5)
    assert "from 0.001 to 1000" in refused(
        422, "query", terms=[{"text": "a"}], models=["clip_tiny"], weights={"clip_tiny": 1e308}
    )
    assert "at most 1,000" in refused(
        422, "query", terms=[{"text": "a"}], where={"category": {"contains": "a" * 2000}}
    )
    for body in (
        b"",
        b"[]",
        b"{",
        b'{"terms": [{"text": "\\ud800"}]}',
        b"[" * 50_000,
        b'{"k": NaN}',
        b"\xff",
    ):
        answer = client.post("/api/search", content=body, headers={"content-type": "application/json"})
        sentence(answer, 422, "query")
    sentence(client.post("/api/search", content=b"x"), 422, "query")
    sentence(client.get("/api/items?limit=0"), 422, "query")
    sentence(client.get("/api/items/unknown"), 404, "missing")
    sentence(client.get("/nothing"), 404, "missing")
    sentence(client.delete("/api/search"), 405, "query")


@pytest.mark.parametrize("model", MODELS)
def test_what_agrees_is_told_for_pictures_and_for_words(client: TestClient, model: str) -> None:
    first, second = (one["item_id"] for one in client.get("/api/items?limit=2").json()["items"])
    asked = {"terms": [{"item": first}], "models": [model], "item": second}
    told = client.post("/api/explain", json=asked).json()
    for side in ("query", "item"):
        values = np.array(told[side]["values"])
        assert values.shape == (told[side]["rows"], told[side]["columns"])
        assert 0 <= values.min() and values.max() <= 1
    assert told["means"].endswith(".")
    assert (told["reconstructions"] is not None) == (model == "autoencoder_tiny")
    words = client.post("/api/explain", json={**asked, "terms": [{"text": "a boot"}]})
    if model == "clip_tiny":
        assert words.status_code == 200 and words.json()["query"] is None
    else:
        sentence(words, 422, "query")


def test_a_run_named_by_a_link_is_opened(client: TestClient, store: Store) -> None:
    run_id = store.runs["vit_tiny"]
    assert [one["run_id"] for one in client.get(f"/api/models?run={run_id[:12]}").json()["models"]].count(
        run_id
    ) == 1
    assert "There is no run 'unknown'" in sentence(client.get("/api/models?run=unknown"), 404, "missing")


def test_the_page_is_sent_once(client: TestClient) -> None:
    for address in ("/", "/static/app.js"):
        first = client.get(address)
        assert first.status_code == 200 and first.headers["cache-control"] == "no-cache"
        again = client.get(address, headers={"if-none-match": first.headers["etag"]})
        assert again.status_code == 304 and not again.content
        assert client.head(address).headers["content-length"] == first.headers["content-length"]
    for address in ("/static/", "/static/nothing.js", "/static/../service.py", "/static/%2e%2e/service.py"):
        sentence(client.get(address), 404, "missing")


def test_health_figures_and_description(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.head("/healthz").status_code == client.head("/readyz").status_code == 200
    client.get("/api/items/a/b/c")
    figures = client.get("/metrics").text
    assert 'route="/api/items/{item_id:path}",status="404"' in figures
    assert 'lens_index_items{model="resnet_tiny"} 72.0' in figures
    paths = client.get("/openapi.json").json()["paths"]
    assert {
        "/api/models",
        "/api/search",
        "/api/explain",
        "/api/items/{item_id}",
        "/healthz",
        "/metrics",
    } <= set(paths)
    body = paths["/api/search"]["post"]["requestBody"]["content"]
    assert (
        body["application/json"]["examples"]
        and "image" in body["multipart/form-data"]["schema"]["properties"]
    )


def test_items_of_catalogues_that_differ_are_shown_from_their_own(store: Store, tmp_path: Path) -> None:
    """The same model's index twice, one without the first half of the items, the other without the rest."""
    halves = []
    for number, letter in enumerate("ab"):
        folder = tmp_path / letter
        shutil.copytree(store.index("resnet_tiny"), folder)
        with open_index(folder) as reader:
            ids = reader.ids(np.arange(72))
        with write(folder) as writer:
            writer.delete(ids[:36] if number == 0 else ids[36:])
        halves.append(str(folder))
    settings = Settings(indices=tuple(halves), uri=store.uri, decoders=1, hosts=("testserver",))
    with TestClient(create_app(settings)) as client:
        names = [one["name"] for one in client.get("/api/models").json()["models"]]
        query = {"query": json.dumps({"terms": [{"image": "image"}], "models": names, "k": 72, "fold": True})}
        answer = upload(client, store.photo(3).read_bytes(), **query).json()
        assert {tuple(one["models"]) for one in answer["results"]} == {(name,) for name in names}
        for one in answer["results"]:
            assert client.get(one["thumbnail"]).status_code == client.get(one["image"]).status_code == 200
            item = one["item_id"], one["thumbnail"].partition("model=")[2]
            assert client.get(f"/api/items/{item[0]}?model={item[1]}").status_code == 200


def test_figures_of_an_index_that_is_gone_are_gone() -> None:
    figures = Figures()
    figures.text({"vit": 72, "a guest": 3})
    told = figures.text({"vit": 71})[0].decode()
    assert 'lens_index_items{model="vit"} 71.0' in told and "a guest" not in told
