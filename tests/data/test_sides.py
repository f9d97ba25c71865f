"""Which sides can be judged, and in what order their losses are computed, against the slow obvious way."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lens.data.sides import judgeable, mixed_order

ITEMS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["", "query", "gallery"])), max_size=12)


@given(items=ITEMS)
def test_judgeable_is_what_the_words_say(items: list[tuple[int, str]]) -> None:
    possible = False
    for place, (label, role) in enumerate(items):
        if role == "gallery":
            continue
        others = [other for at, (other, its) in enumerate(items) if at != place and its != "query"]
        possible |= label in others and any(other != label for other in others)
    labels = np.array([label for label, _ in items], dtype=np.int64)
    assert judgeable(labels, np.array([role for _, role in items], dtype=str)) == possible


@given(labels=st.lists(st.integers(0, 5), max_size=60), together=st.integers(1, 8), seed=st.integers(0, 1000))
def test_the_order_holds_each_item_once_in_short_runs_of_a_label(
    labels: list[int], together: int, seed: int
) -> None:
    given_labels = np.array(labels, dtype=np.int64)
    order = mixed_order(given_labels, together, seed)
    assert sorted(order) == list(range(len(labels)))
    assert np.array_equal(order, mixed_order(given_labels, together, seed))
    whole = {label: labels.count(label) // together for label in labels}
    ordered, found = given_labels[order], dict.fromkeys(labels, 0)
    for start in range(len(order) - together + 1):
        if len(set(ordered[start : start + together])) == 1:
            found[int(ordered[start])] += 1
    assert all(found[label] >= count for label, count in whole.items())
