"""What served models are called, and guests that become the newest."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lens.serve.naming import named
from lens.serve.shelf import Served, Shelf
from tests.serve.shelves import copied, shelf
from tests.serve.store import Store


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # where fetched indices are kept


def shown(chosen: Shelf) -> dict[str, str | None]:
    return {name: one.searcher.run_id for name, one in chosen.models.items()}


def test_a_guest_whose_run_becomes_the_newest_is_served_once_and_is_replaced_by_newer_ones(
    store: Store,
) -> None:
    chosen = shelf(store)
    count = len(chosen.models)
    with copied(store, name="first", finished=False) as first:
        first.hand_over()
        _mark(store, first.run_id, "RUNNING")  # about to finish
        guest = chosen.open_run(first.run_id[:8])
        assert (guest.name, guest.guest, guest.newest) == ("vit_tiny@first", True, False)
        assert not chosen.refresh() and len(chosen.models) == count + 1
        first.hand_over()
        assert chosen.refresh() and not chosen.refresh()
        assert len(chosen.models) == count
        newest = chosen.models["vit_tiny"]
        assert newest.searcher is guest.searcher  # not loaded again
        assert newest.newest and not newest.guest
        with copied(store, name="second") as second, copied(store, name="third") as third:
            assert chosen.refresh() and len(chosen.models) == count
            assert shown(chosen)["vit_tiny"] == third.run_id != second.run_id


def test_a_link_to_the_first_run_of_a_model_keeps_its_name_when_it_is_the_newest(store: Store) -> None:
    for run_id in store.runs.values():
        _mark(store, run_id, "RUNNING")
    try:
        _mark(store, store.runs["clip_tiny"], "FINISHED")
        chosen = shelf(store)
        assert list(chosen.models) == ["clip_tiny"]
        guest = chosen.open_run(store.runs["vit_tiny"])
        assert guest.name == "vit_tiny" and guest.guest
        _mark(store, store.runs["vit_tiny"], "FINISHED")
        assert chosen.refresh()
        assert shown(chosen) == {name: store.runs[name] for name in ("clip_tiny", "vit_tiny")}
        assert chosen.models["vit_tiny"].searcher is guest.searcher
        with copied(store) as newer:
            assert chosen.refresh()
            assert shown(chosen) == {"clip_tiny": store.runs["clip_tiny"], "vit_tiny": newer.run_id}
    finally:
        for run_id in store.runs.values():
            _mark(store, run_id, "FINISHED")


def test_the_newest_has_the_models_name_though_a_guest_had_it(store: Store) -> None:
    _mark(store, store.runs["vit_tiny"], "RUNNING")
    try:
        chosen = shelf(store)
        guest = chosen.open_run(store.runs["vit_tiny"])
        assert guest.name == "vit_tiny"
        with copied(store) as newest:
            assert chosen.refresh() and not chosen.refresh()
            assert shown(chosen)["vit_tiny"] == newest.run_id
            assert shown(chosen)[f"vit_tiny@{guest.searcher.run_id[:8]}"] == guest.searcher.run_id  # type: ignore[index]
    finally:
        _mark(store, store.runs["vit_tiny"], "FINISHED")


def test_the_newest_run_goes_on_being_served_while_it_is_resumed(store: Store) -> None:
    with copied(store, local=True) as run:
        chosen = shelf(store)
        run.resume()
        chosen._runs._all_at = 0  # a look at all runs is due
        assert not chosen.refresh()
        assert shown(chosen)["vit_tiny"] == run.run_id


@pytest.fixture(scope="module")
def opened(store: Store) -> list[Served]:
    return list(shelf(store).models.values())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    picked=st.lists(
        st.tuples(
            st.integers(0, 3), st.sampled_from(["a", "b", "a@b"]), st.sampled_from(["", "a", "b", "x"])
        ),
        min_size=1,
        max_size=8,
    ),
    fate=st.lists(st.sampled_from(["stays", "goes"]), min_size=8, max_size=8),
)
def test_names_are_distinct_and_stay_while_others_come_and_go(
    opened: Sequence[Served], picked: list[tuple[int, str, str]], fate: list[str]
) -> None:
    found = []
    for place, (which, model, run_name) in enumerate(picked):
        run = replace(opened[which].run, name=run_name)  # type: ignore[type-var]
        one = replace(opened[which], name="", model=model, run=run, newest=False, guest=place % 2 == 1)
        found.append(one)
    first = named(found)
    assert len(first) == len(found) and all(name == one.name for name, one in first.items())
    assert all(one.name.startswith(one.model) for one in first.values())
    left = [one for one, what in zip(first.values(), fate, strict=False) if what == "stays"]
    assert list(named(left)) == [one.name for one in left]
    newest = replace(opened[0], name="", model="a", newest=True)
    more = named([*first.values(), newest])
    assert more["a"].newest and len(more) == len(first) + 1
    assert all(more[name].searcher is first[name].searcher for name in first if name != "a")


def _mark(store: Store, run_id: str, status: str) -> None:
    from lens.tracking.store import client

    if status == "RUNNING":
        client(store.uri).update_run(run_id, status="RUNNING")
    else:
        client(store.uri).set_terminated(run_id)
